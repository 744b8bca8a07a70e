"""What the page's script reads: one JSON document, safe inside HTML, small enough for one file.

Numbers are written in full, so that the page's table and its CSV hold what was computed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from paretomerge.reports.chooser import chooser_of
from paretomerge.reports.data import ReportData
from paretomerge.reports.grid import PredictedGrid
from paretomerge.reports.marks import INTERVAL, MARKS, better, clean, objective_label, objective_name
from paretomerge.reports.points import Points, lines_of, links_of, points_of, triangles_of
from paretomerge.reports.spread import bands_of, short_number, spread_of
from paretomerge.types import Objective
from paretomerge.types.scores import ORIGINS

MOST_BYTES = 800_000
"""Of the JSON; with everything else the page stays below one megabyte."""


def payload(data: ReportData) -> dict[str, Any]:
    """Points, front lines, links and triangles as plain lists; `left_out` counts points thinned away."""
    points = points_of(data)
    chooser, verified = chooser_of(data, points.front), _verified(data)
    landscape = _landscape(data.landscape, data.scores.objectives)
    aside = len(json.dumps([chooser, verified, landscape]))
    kept = points_that_fit(points, MOST_BYTES - aside)
    left_out = len(points) - len(kept)
    place: dict[int | None, int] = {row: i for i, row in enumerate(kept)}
    spread = spread_of(data, [place.get(row) for row in points.front])
    if chooser is not None:
        for front in chooser["fronts"]:
            front["rows"] = [place.get(row) for row in front["rows"]]
    points = take(points, kept)
    return {
        "tasks": [clean(task) for task in points.tasks],
        "objectives": [_objective(objective) for objective in points.objectives],
        "views": [{"label": label, "columns": columns} for label, columns in views_of(data, points)],
        "origins": [
            {"key": origin, "label": MARKS[origin].label, "meaning": MARKS[origin].meaning}
            for origin in ORIGINS
            if points.rows(origin)
        ],
        "interval": INTERVAL,
        "points": {
            "origin": list(points.origin),
            "weights": points.weights.tolist(),
            "values": [[_number(value) for value in row] for row in points.values],
            "stderr": points.stderr.tolist(),
        },
        "front": list(points.front),
        "chosen": points.chosen,
        "lines": [
            {"columns": columns, "origin": line.origin, "rows": list(line.rows)}
            for _, columns in views_of(data, points)
            for line in lines_of(points, columns)
        ],
        "links": [list(pair) for pair in links_of(points)],
        "triangles": {origin: triangles_of(points, origin).tolist() for origin in ORIGINS},
        "left_out": left_out,
        "chooser": chooser,
        "verified": verified,
        "landscape": landscape,
        "spread": spread,
        "bands": bands_of(data),
    }


def to_script_json(document: Any) -> str:
    r"""JSON in which no character can end a script element or start a comment.

    >>> to_script_json("</script>")
    '"\\u003c/script\\u003e"'
    """
    text = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def views_of(data: ReportData, points: Points) -> list[tuple[str, list[int]]]:
    """Sets of objectives to look at: the report's first, then those of each further metric."""
    main = points.columns(data.objectives)
    views = [(_view_label(data.objectives), main)]
    metrics = list(dict.fromkeys(objective.metric for objective in points.objectives))
    for metric in metrics:
        columns = [j for j, objective in enumerate(points.objectives) if objective.metric == metric]
        if columns not in [known for _, known in views]:
            views.append((_view_label([points.objectives[j] for j in columns]), columns))
    return views


def points_that_fit(points: Points, most_bytes: int) -> list[int]:
    """Rows to keep so that they take no more than `most_bytes` of JSON.

    Predicted points go first, evenly spaced, then merged and trained ones; the choice always stays.
    """
    sizes = np.array([_size(points, row) for row in range(len(points))])
    room = float(most_bytes)
    kept: list[int] = []
    if points.chosen is not None:
        kept.append(points.chosen)
        room -= sizes[points.chosen]
    for origin in reversed(ORIGINS):
        rows = [row for row in points.rows(origin) if row != points.chosen]
        if not rows:
            continue
        count = min(len(rows), max(0, int(room / sizes[rows].max())))
        spaced = np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int))
        kept += [rows[i] for i in spaced]
        room -= sizes[rows].max() * count
    return sorted(kept)


def take(points: Points, rows: Sequence[int]) -> Points:
    """Some of the points; front and choice keep pointing at theirs."""
    index = np.asarray(rows, dtype=np.int64)
    place = {row: i for i, row in enumerate(rows)}
    return Points(
        points.tasks,
        points.objectives,
        points.weights[index],
        points.values[index],
        points.stderr[index],
        tuple(points.origin[row] for row in rows),
        tuple(place[row] for row in points.front if row in place),
        None if points.chosen is None else place[points.chosen],
    )


def _verified(data: ReportData) -> list[dict[str, Any]]:
    """Previews and truths of each objective, for one chart each."""
    if data.verification is None:
        return []
    previews, truths, after = data.verification.previews, data.verification.truths, data.verification.after
    return [
        {
            "name": objective_name(truths.objectives[column]),
            "label": objective_label(truths.objectives[column]),
            "weights": truths.weights.tolist(),
            "preview": previews.values[:, column].tolist(),
            "truth": truths.values[:, column].tolist(),
            "recalibrated": [] if after is None else after.mean[:, column].tolist(),
            "preview_half": (INTERVAL * previews.stderr[:, column]).tolist(),
            "truth_half": (INTERVAL * truths.stderr[:, column]).tolist(),
        }
        for column in dict.fromkeys(column for _, column in data.verification.rows(data.objectives))
    ]


def _landscape(grid: PredictedGrid | None, objectives: Sequence[Objective]) -> dict[str, Any] | None:
    """The grid with the columns of the page's objectives; weights follow from the divisions."""
    if grid is None:
        return None
    names = [objective.name for objective in grid.objectives]
    columns = [names.index(objective.name) if objective.name in names else None for objective in objectives]

    def table(values: np.ndarray) -> list[list[float | None]]:
        return [[None if column is None else short_number(row[column]) for column in columns] for row in values]

    return {
        "divisions": grid.divisions,
        "level": grid.level,
        "values": table(grid.values),
        "lower": table(grid.lower),
        "upper": table(grid.upper),
        "error": table(grid.error[None])[0],
        "edge_error": table(grid.edge_error[None])[0],
        "far": grid.far.astype(int).tolist(),
    }


def _size(points: Points, row: int) -> int:
    numbers = [*points.weights[row], *points.values[row], *points.stderr[row]]
    overhead = 90  # origin, brackets, and its share of lines, links and triangles
    return overhead + sum(len(repr(float(number))) + 1 for number in numbers)


def _objective(objective: Objective) -> dict[str, Any]:
    return {
        "name": objective_name(objective),
        "task": clean(objective.task),
        "unit": clean(objective.unit),
        "metric": clean(objective.metric),
        "direction": objective.direction,
        "better": better(objective),
        "label": objective_label(objective),
    }


def _view_label(objectives: Sequence[Objective]) -> str:
    metrics = {objective.metric for objective in objectives}
    if len(metrics) == 1 and (metric := clean(next(iter(metrics)), 40)):
        return metric
    names = [objective_name(objective, 24) for objective in objectives]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
