"""How `Scores`, `Front` and `Choice` show themselves in a notebook: a table and a small picture, as plain HTML.

No script, no style sheet and no identifiers: it survives notebooks that clean their output, and two outputs cannot
disturb each other. Text takes the notebook's own colours. `paretomerge.notebooks` registers these functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape

from paretomerge.choices import Choice
from paretomerge.reports.columns import Column, number_column, score_columns
from paretomerge.reports.data import ReportData
from paretomerge.reports.digits import decimals_for, show
from paretomerge.reports.marks import MARKS, better, clean, objective_name
from paretomerge.reports.points import points_of
from paretomerge.reports.thumbnail import thumbnail_svg
from paretomerge.types import Front, Origin, Scores
from paretomerge.types.scores import ORIGINS
from paretomerge.types.summaries import counted

MOST_ROWS = 12
LAST_ROWS = 4
"""Of more rows than `MOST_ROWS`, so many are the last."""
MOST_COLUMNS = 12
"""Of more columns, the first are shown and the others counted."""
_SHAPES = {"o": "●", "s": "■", "D": "◆"}
_SMALL = "margin:0.2em 0;opacity:0.75;font-size:90%"


def scores_html(scores: Scores) -> str:
    """A heading, a picture of two or more objectives, and the first rows."""
    return _shown(scores, None, _heading(scores, counted(len(scores), "scored model")))


def front_html(front: Front) -> str:
    """A heading, a picture with the front's line, and the first points."""
    heading = _heading(front.scores, f"Front of {counted(len(front), 'point')}")
    return _shown(front.scores, front, heading)


def choice_html(choice: Choice) -> str:
    """The chosen point and its alternatives: weights, values with intervals, and what is given up."""
    point = choice.point
    names = list(point.values)
    level = f"{100 * choice.level:.4g} % interval"
    digits = [
        decimals_for([point.values[name]], [(choice.interval[name][1] - choice.interval[name][0]) / 2])
        for name in names
    ]
    ends = [
        " to ".join(show(end, places) for end in choice.interval[name])
        for name, places in zip(names, digits, strict=True)
    ]
    rows = [_text_column("objective", names)]
    rows.append(_shown_column("value", [point.values[name] for name in names], digits))
    rows.append(Column(level, tuple(ends), tuple(ends), numeric=True))
    rows.append(_shown_column("gives up", [choice.gives_up[name] for name in names], digits))
    for other in choice.alternatives:
        rows.append(_shown_column(f"point {other.point.id}", [other.point.values[name] for name in names], digits))
    sentences = [f"Rule: {choice.rule}."]
    if choice.probability_nondominated is not None:
        sentences.append(f"No other point dominates it with probability {choice.probability_nondominated:.2f}.")
    if choice.probability_fulfilled is not None:
        sentences.append(f"It keeps what was asked for with probability {choice.probability_fulfilled:.2f}.")
    if choice.alternatives:
        sentences.append("The last columns are the nearest alternatives.")
    heading = f"Point {point.id} of the front, {MARKS[point.origin].label}"
    weights = number_column("", point.weights.values())
    pairs = zip(point.weights, weights.cells, strict=True)
    weighting = "Weights: " + ", ".join(f"{clean(task, 40)} {cell}" for task, cell in pairs)
    return _block([_paragraph(heading, strong=True), _paragraph(weighting), _table(rows), _note(" ".join(sentences))])


def _shown(scores: Scores, front: Front | None, heading: str) -> str:
    named = _told_apart(scores)
    picture = ""
    if len(named.objectives) > 1 and len(named):
        own = None if front is None else replace(front, objectives=named.objectives)
        points = points_of(ReportData("", named.objectives, named, own))
        picture = thumbnail_svg(points, range(len(named.objectives)))
    columns = score_columns(named)
    notes = ["± 1.96 standard errors."] if named.stderr.any() else []
    if len(named) > MOST_ROWS:
        notes.append(f"{len(named) - MOST_ROWS} more rows: to_pandas() gives all.")
    if len(columns) > MOST_COLUMNS:
        notes.append(f"{len(columns) - MOST_COLUMNS} more columns.")
    shown = [_ends_of(column) for column in columns[:MOST_COLUMNS]]
    return _block([heading, picture, _table(shown) if len(named) else "", _note(" ".join(notes))])


def _ends_of(column: Column) -> Column:
    """The first and the last rows of a long column."""
    if len(column.cells) <= MOST_ROWS:
        return column
    first, last = MOST_ROWS - LAST_ROWS, -LAST_ROWS
    cells = (*column.cells[:first], "…", *column.cells[last:])
    return replace(column, cells=cells, keys=(*column.keys[:first], None, *column.keys[last:]))


def _told_apart(scores: Scores) -> Scores:
    """Objectives of one name get a number: a display never fails for their sake."""
    names = [objective.name for objective in scores.objectives]
    if len(set(names)) == len(names):
        return scores
    numbered = tuple(replace(each, name=f"{each.name} ({m})") for m, each in enumerate(scores.objectives))
    return replace(scores, objectives=numbered)


def _heading(scores: Scores, what: str) -> str:
    counts = ", ".join(_counted(scores, word) for word in ORIGINS if word in scores.origin)
    title = f'<p style="margin:0.2em 0"><strong>{escape(what)}{": " if counts else ""}</strong>{counts}</p>'
    tasks = ", ".join(clean(task, 40) for task in scores.tasks[:MOST_ROWS])
    more = f" and {len(scores.tasks) - MOST_ROWS} more" if len(scores.tasks) > MOST_ROWS else ""
    return title + _note(f"Weights of {tasks}{more}. {_directions(scores)}")


def _counted(scores: Scores, origin: Origin) -> str:
    """The number of models of an origin, behind the mark that the picture gives them."""
    mark = MARKS[origin]
    return f'<span style="color:{mark.light}">{_SHAPES[mark.shape]}</span> {scores.origin.count(origin)} {mark.label}'


def _directions(scores: Scores) -> str:
    found = {better(objective) for objective in scores.objectives}
    if len(found) == 1:
        return f"{found.pop().capitalize()}."
    higher = [objective_name(each, 40) for each in scores.objectives if each.direction == "maximise"]
    return f"Higher is better for {', '.join(higher[:MOST_ROWS])}; lower for the others."


def _block(parts: Sequence[str]) -> str:
    return f'<div style="max-width:100%;overflow-x:auto">{"".join(parts)}</div>'


def _paragraph(text: str, strong: bool = False) -> str:
    shown = escape(clean(text))
    return f'<p style="margin:0.2em 0">{f"<strong>{shown}</strong>" if strong else shown}</p>'


def _note(text: str) -> str:
    return f'<p style="{_SMALL}">{escape(clean(text))}</p>' if text else ""


def _table(columns: Sequence[Column]) -> str:
    heads = "".join(f'<th scope="col"{_aligned(column)}>{escape(clean(column.name, 36))}</th>' for column in columns)
    rows = []
    for i in range(len(columns[0].cells)):
        cells = "".join(f"<td{_aligned(column)}>{escape(clean(column.cells[i], 60))}</td>" for column in columns)
        rows.append(f"<tr>{cells}</tr>")
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _aligned(column: Column) -> str:
    return f' style="white-space:nowrap;text-align:{"right" if column.numeric else "left"}"'


def _text_column(name: str, cells: Sequence[str]) -> Column:
    return Column(name, tuple(clean(cell, 60) for cell in cells), tuple(cells), numeric=False)


def _shown_column(name: str, values: Sequence[float], digits: Sequence[int]) -> Column:
    """Each row with its own decimals: the rows are different objectives."""
    cells = tuple(show(value, places) for value, places in zip(values, digits, strict=True))
    return Column(name, cells, tuple(values), numeric=True)
