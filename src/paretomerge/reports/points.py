"""All points of a report in one table: scores, front and choice, each once.

Shapes: `N` points, `T` tasks, `M` objectives (all those of the scores).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import moocore
import numpy as np

from paretomerge.reports.data import ReportData
from paretomerge.types import Front, Objective, Origin, to_minimised
from paretomerge.types.scores import ORIGINS


@dataclass(frozen=True, eq=False)
class Line:
    """A front line: the origin whose front it is (`None` for the report's own front) and its points in order."""

    origin: Origin | None
    rows: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Points:
    """`N` points; NaN where a front or choice lacks an objective that the scores have.

    Args:
        tasks: the `T` task names.
        objectives: the `M` objectives.
        weights: `[N, T]`.
        values: `[N, M]`.
        stderr: `[N, M]`.
        origin: `[N]`.
        front: rows of the front's points, in the front's order; empty without a front.
        chosen: the row of the choice, `None` without one.
    """

    tasks: tuple[str, ...]
    objectives: tuple[Objective, ...]
    weights: np.ndarray
    values: np.ndarray
    stderr: np.ndarray
    origin: tuple[Origin, ...]
    front: tuple[int, ...] = ()
    chosen: int | None = None

    def __len__(self) -> int:
        """`N`."""
        return len(self.values)

    def rows(self, origin: Origin) -> list[int]:
        """The rows of one origin."""
        return [row for row, word in enumerate(self.origin) if word == origin]

    def columns(self, objectives: Sequence[Objective]) -> list[int]:
        """Where these objectives stand in `values`."""
        names = [objective.name for objective in self.objectives]
        return [names.index(objective.name) for objective in objectives]


def points_of(data: ReportData) -> Points:
    """Scores first, then front points and the choice unless they are among the scores already."""
    scores = data.scores
    table = _Table(data)
    for row in range(len(scores)):
        table.append(scores.weights[row], scores.values[row], scores.stderr[row], scores.origin[row])
    front: list[int] = []
    if data.front is not None:
        columns = table.columns_of([objective.name for objective in data.front.objectives])
        for i in range(len(data.front)):
            front.append(_place_front_point(table, data.front, i, columns))
    chosen = None
    if data.choice is not None:
        columns = table.columns_of(list(data.choice.values))
        weights = np.array([data.choice.weights[task] for task in scores.tasks], dtype=np.float64)
        values = list(data.choice.values.values())
        stdev = [data.choice.stdev.get(name, 0.0) for name in data.choice.values]
        chosen = table.place(weights, columns, values, stdev, data.choice.origin)
    return Points(
        scores.tasks,
        scores.objectives,
        np.array(table.weights, dtype=np.float64).reshape(-1, len(scores.tasks)),
        np.array(table.values, dtype=np.float64).reshape(-1, len(scores.objectives)),
        np.array(table.stderr, dtype=np.float64).reshape(-1, len(scores.objectives)),
        tuple(table.origin),
        tuple(front),
        chosen,
    )


class _Table:
    """Rows under construction, with a look-up of rows by weighting and origin."""

    def __init__(self, data: ReportData) -> None:
        self.names = [objective.name for objective in data.scores.objectives]
        self.weights: list[np.ndarray] = []
        self.values: list[np.ndarray] = []
        self.stderr: list[np.ndarray] = []
        self.origin: list[Origin] = []
        self.places: dict[tuple[object, ...], list[int]] = {}

    def columns_of(self, names: Sequence[str]) -> list[int]:
        return [self.names.index(name) for name in names]

    def append(self, weights: np.ndarray, values: np.ndarray, stderr: np.ndarray, origin: Origin) -> int:
        self.places.setdefault((origin, *weighting_key(weights)), []).append(len(self.values))
        self.weights.append(weights)
        self.values.append(values)
        self.stderr.append(stderr)
        self.origin.append(origin)
        return len(self.values) - 1

    def place(
        self,
        weights: np.ndarray,
        columns: Sequence[int],
        values: Sequence[float],
        stdev: Sequence[float],
        origin: Origin,
    ) -> int:
        """The row that already holds this point, or a new one."""
        for row in self.places.get((origin, *weighting_key(weights)), []):
            if np.allclose(self.values[row][list(columns)], values, rtol=1e-9, atol=1e-12):
                return row
        full = np.full(len(self.names), np.nan)
        errors = np.zeros(len(self.names))
        full[list(columns)] = values
        errors[list(columns)] = stdev
        return self.append(weights, full, errors, origin)


def _place_front_point(table: _Table, front: Front, i: int, columns: Sequence[int]) -> int:
    return table.place(front.weights[i], columns, front.values[i].tolist(), front.stdev[i].tolist(), front.origin[i])


def weighting_key(weights: np.ndarray) -> tuple[float, ...]:
    """Equal for weightings that agree to nine decimals."""
    return tuple((np.round(weights, 9) + 0.0).tolist())


def lines_of(points: Points, columns: Sequence[int]) -> list[Line]:
    """Front lines for two objectives: the report's own, and each other origin's non-dominated points.

    Every other number of objectives has no lines: its front is a surface.
    """
    if len(columns) != 2:
        return []
    order = points.values[:, columns[0]]
    own = [row for row in points.front if np.isfinite(points.values[row, list(columns)]).all()]
    # a front over other objectives is no front of these two: then every origin shows its own
    if len(_nondominated(points, own, columns, keep_equal=True)) < len(own):
        own = []
    lines = [Line(None, tuple(sorted(own, key=lambda row: order[row])))] if len(own) > 1 else []
    shown = {points.origin[row] for row in own}
    for origin in ORIGINS:
        rows = _nondominated(points, points.rows(origin), columns)
        if origin not in shown and len(rows) > 1:
            lines.append(Line(origin, tuple(sorted(rows, key=lambda row: order[row]))))
    return lines


def _nondominated(points: Points, rows: Sequence[int], columns: Sequence[int], keep_equal: bool = False) -> list[int]:
    known = [row for row in rows if np.isfinite(points.values[row, list(columns)]).all()]
    if not known:
        return []
    objectives = [points.objectives[column] for column in columns]
    values = to_minimised(points.values[np.ix_(known, list(columns))], objectives)
    kept = moocore.is_nondominated(values, keep_weakly=keep_equal)
    return [row for row, keep in zip(known, kept, strict=True) if keep]


def links_of(points: Points) -> list[tuple[int, int]]:
    """Pairs of points of different origin at the same weighting: what was predicted or merged, and the truth.

    Each weighting's anchor is its trained point, else its merged one.
    """
    at: dict[tuple[float, ...], dict[Origin, int]] = {}
    for row in range(len(points)):
        at.setdefault(weighting_key(points.weights[row]), {}).setdefault(points.origin[row], row)
    links = []
    for rows in at.values():
        known = [rows[origin] for origin in reversed(ORIGINS) if origin in rows]
        links += [(known[0], other) for other in known[1:]]
    return links


_MOSTLY = 0.5


def on_simplex(weights: np.ndarray) -> np.ndarray:
    """`[N]`: which weightings a ternary map can show: non-negative ones that sum to one.

    None where most are scaling coefficients, of which a few happen to: a map would hide the rest.
    """
    inside = (weights >= -1e-9).all(axis=1) & (np.abs(weights.sum(axis=1) - 1.0) < 1e-6)
    return inside if len(inside) and inside.mean() >= _MOSTLY else np.zeros(len(weights), dtype=bool)


def triangles_of(points: Points, origin: Origin) -> np.ndarray:
    """Delaunay triangles `[K, 3]` of rows of one origin on the simplex of three tasks; empty when flat."""
    from scipy.spatial import Delaunay, QhullError

    empty = np.zeros((0, 3), dtype=np.int64)
    if len(points.tasks) != 3:
        return empty
    inside = on_simplex(points.weights)
    first: dict[tuple[float, ...], int] = {}
    for row in points.rows(origin):
        if inside[row]:
            first.setdefault(weighting_key(points.weights[row]), row)
    rows = np.array(list(first.values()), dtype=np.int64)
    if len(rows) < 3:
        return empty
    try:
        found = Delaunay(ternary_xy(points.weights[rows])).simplices
    except QhullError:  # all on one line
        return empty
    return rows[found]


def ternary_xy(weights: np.ndarray) -> np.ndarray:
    """Barycentric → plane, `[N, 3] → [N, 2]`: first task bottom left, second bottom right, third on top.

    >>> ternary_xy(np.eye(3)).round(3).tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.5, 0.866]]
    """
    return np.stack([weights[:, 1] + 0.5 * weights[:, 2], np.sqrt(0.75) * weights[:, 2]], axis=1)
