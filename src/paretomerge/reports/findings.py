"""The page's sections on how far previews can be trusted: diagnoses, and previews held against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from paretomerge.diagnoses import Diagnosis
from paretomerge.reports.columns import Column
from paretomerge.reports.data import ReportData
from paretomerge.reports.digits import decimals_for, show_interval
from paretomerge.reports.folding import folded
from paretomerge.reports.headline import MOST_NAMED, weights_text
from paretomerge.reports.marks import INTERVAL, clean, objective_name
from paretomerge.reports.markup import framed_table, section_html, sentences_html
from paretomerge.reports.verified import Verified
from paretomerge.types import Objective

MOST_ROWS = 200


def diagnoses_html(diagnoses: Sequence[Diagnosis], names: Sequence[str] = ()) -> str:
    """What was seen, what to try, and the numbers behind it; warnings look like warnings.

    Args:
        diagnoses: gravest first.
        names: of tasks and objectives; what differs in them and in numbers only is said once.
    """
    # Parts are separated by what no clean text has.
    texts = [f"{each.severity}\n{clean(each.message)}\n{clean(each.remedy)}" for each in diagnoses]
    items = []
    for text, numbers in folded(texts, [clean(name) for name in names]):
        severity, message, remedy = text.split("\n")
        words = [f'<p class="seen"><strong>{severity.capitalize()}.</strong> {escape(_sentence(message))}</p>']
        words.append(f"<p>Try: {escape(_sentence(remedy, capital=False))}</p>")
        evidence = "; ".join(filter(None, (_numbers_of(diagnoses[number]) for number in numbers)))
        if evidence:
            words.append(f'<p class="hint">{escape(clean(evidence))}</p>')
        items.append(f'<li class="{escape(severity)}">{"".join(words)}</li>')
    return section_html("diagnoses", "Diagnoses", f'<ul class="diagnoses">{"".join(items)}</ul>' if items else "")


def _numbers_of(diagnosis: Diagnosis) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in diagnosis.evidence.items())


def verification_html(data: ReportData) -> str:
    """Preview and truth of every verified weighting, side by side; the script draws a chart into it."""
    verified = data.verification
    if verified is None or not len(verified.truths):
        return ""
    table = framed_table("verification", verification_columns(verified, data.objectives))
    chart = '<div id="verified"></div>'
    content = chart + table + sentences_html(verified.sentences) + _survivors(verified)
    return section_html("verification", "Verification", content)


def verification_columns(verified: Verified, objectives: Sequence[Objective]) -> list[Column]:
    """One row per verified weighting and objective: preview, truth, error, and what recalibration makes of it."""
    pairs = verified.rows(objectives)[:MOST_ROWS]
    rows, columns = (np.array([pair[k] for pair in pairs], dtype=int) for k in (0, 1))
    tasks, weights = verified.truths.tasks, verified.truths.weights
    few = len(tasks) <= MOST_NAMED
    places = [
        "/".join(f"{weight:.2f}" for weight in weights[row])
        if few
        else weights_text(dict(zip(tasks, weights[row].tolist(), strict=True)))
        for row in rows
    ]
    heading = " / ".join(map(clean, tasks)) if few else "weights"
    names = [_with_unit(verified.truths.objectives[column]) for column in columns]
    truths, noise = verified.truths.values[rows, columns], INTERVAL * verified.truths.stderr[rows, columns]
    decimals = decimals_for(truths.tolist(), noise.tolist())
    previews = verified.previews.values[rows, columns]
    found = [
        Column(heading, tuple(places), tuple(places), False),
        Column("objective", tuple(names), tuple(names), False),
    ]
    found.append(_numbers("preview", previews, decimals, INTERVAL * verified.previews.stderr[rows, columns]))
    found.append(_numbers("jointly finetuned", truths, decimals, noise))
    found.append(_numbers("error", previews - truths, decimals, signed=True))
    for what, intervals in (("preview", verified.before), ("recalibrated", verified.after)):
        if intervals is None:
            continue
        if what == "recalibrated":
            guess = intervals.mean[rows, columns]
            found.append(_numbers("recalibrated without it", guess, decimals))
            found.append(_numbers("error then", guess - truths, decimals, signed=True))
        inside = tuple("yes" if each else "no" for each in intervals.inside[rows, columns])
        found.append(Column(f"inside {100 * verified.level:g} %", inside, inside, False))
    return found


def _numbers(
    name: str, values: np.ndarray, decimals: int, halves: np.ndarray | None = None, signed: bool = False
) -> Column:
    widths = np.zeros(len(values)) if halves is None else halves
    cells = [show_interval(value, half, decimals) for value, half in zip(values.tolist(), widths.tolist(), strict=True)]
    if signed:
        cells = [
            f"+{cell}" if value > 0 and cell.strip("0.") else cell for value, cell in zip(values, cells, strict=True)
        ]
    return Column(name, tuple(cells), tuple(values.tolist()), numeric=True)


def _survivors(verified: Verified) -> str:
    """The numbers of the points that stay on the front, folded away."""
    if verified.survivors is None:
        return ""
    count = len(verified.survivors)
    points = ", ".join(str(int(point)) for point in verified.survivors)
    heading = "The point of the front that survives" if count == 1 else f"The {count} points of the front that survive"
    return f'<details class="hint"><summary>{heading}</summary><p>{points}</p></details>'


def _with_unit(objective: Objective) -> str:
    return objective_name(objective) + (f" [{clean(objective.unit, 12)}]" if objective.unit else "")


def _sentence(text: str, capital: bool = True) -> str:
    words = clean(text).rstrip(".")
    return (words[:1].upper() + words[1:] if capital else words) + "."
