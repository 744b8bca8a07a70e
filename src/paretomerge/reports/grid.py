"""What a run's surrogate predicts all over the simplex of task weights: a grid, and linear interpolation in between.

A page cannot evaluate a surrogate, but it can look up a grid. Between grid points predictions are interpolated
linearly on the Kuhn triangulation: in the cumulated weights `s_j = n (α_1 + … + α_j)` the grid is that of the integers,
the simplex is `0 <= s_1 <= … <= s_{T-1} <= n`, and every unit cube is cut into the simplices in which the fractional
parts of `s` have one order (Freudenthal, 1942, Simplizialzerlegungen von beschränkter Flachheit). The interpolation is
continuous, exact at grid points, and needs `T` look-ups. `template/landscape.js` is its twin for the page.

Shapes: `K` grid points, `Q` queries, `T` tasks, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from paretomerge.errors import DataError
from paretomerge.fronts import score_uncertainty
from paretomerge.surrogates import Fitted
from paretomerge.types import Objective, Simplex, simplex_grid

DIVISIONS: Mapping[int, int] = {2: 100, 3: 24, 4: 10, 5: 7, 6: 6}
"""Tasks → divisions of the grid: 100 to 500 points each, few enough for a page. More tasks have no grid."""

_ROUNDING = 1e-9
_CHECKED_AT, _ENOUGH = 600, 60
_TABLES = ("values", "lower", "upper", "error", "edge_error")


@dataclass(frozen=True, eq=False)
class PredictedGrid:
    """Predictions with interval ends at every weighting whose entries are multiples of `1 / divisions`.

    Args:
        tasks: the `T` task names.
        objectives: the `M` objectives that are predicted.
        divisions: `n`; the grid is `simplex_grid(T, n)`, in its order.
        values: `[K, M]`, predictions in each objective's own direction.
        lower, upper: `[K, M]`, ends of the intervals; NaN where nothing is known about the uncertainty.
        level: of the intervals.
        error: `[M]`, the largest distance between interpolation and prediction that was found between grid points.
        edge_error: `[M]`, the same where some weight lies between zero and `1 / divisions`. Merges may jump there:
            a task of the smallest weight decides alone on the directions that no other task knows.
        far: `[K]`, whether the nearest scores say too little about a point.

    Raises:
        DataError: shapes that disagree, or predictions that are not finite.
    """

    tasks: tuple[str, ...]
    objectives: tuple[Objective, ...]
    divisions: int
    values: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    level: float
    error: np.ndarray
    edge_error: np.ndarray
    far: np.ndarray
    weights: np.ndarray = field(init=False)
    """`[K, T]`, the grid."""

    def __post_init__(self) -> None:
        """Check shapes, and lay out the grid."""
        set_ = object.__setattr__
        set_(self, "tasks", tuple(self.tasks))
        set_(self, "objectives", tuple(self.objectives))
        set_(self, "weights", simplex_grid(len(self.tasks), self.divisions))
        shape = (len(self.weights), len(self.objectives))
        expected: dict[str, tuple[int, ...]] = dict.fromkeys(("values", "lower", "upper"), shape)
        expected |= {"error": shape[1:], "edge_error": shape[1:], "far": shape[:1]}
        for name, size in expected.items():
            array = np.asarray(getattr(self, name), dtype=bool if name == "far" else np.float64)
            if array.shape != size:
                raise DataError(f"a grid's {name} has shape {list(array.shape)}, expected {list(size)}")
            set_(self, name, array)
        if not np.isfinite(self.values).all():
            raise DataError("a grid's values are not all finite: the surrogate predicts nothing there")

    def __len__(self) -> int:
        """`K`."""
        return len(self.values)

    def at(self, weights: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values and interval ends, each `[Q, M]`, at any task weights `[Q, T]`.

        Raises:
            WeightsError: weights that are negative or do not sum to one.
        """
        queries = Simplex(self.tasks).checked(weights)
        found = np.zeros((3, len(queries), len(self.objectives)))
        place = {tuple(row): i for i, row in enumerate(np.rint(self.weights * self.divisions).astype(int).tolist())}
        tables = np.stack([self.values, self.lower, self.upper])
        for q, query in enumerate(queries):
            for corner, share in kuhn_corners(query, self.divisions):
                found[:, q] += share * tables[:, place[corner]]
        return found[0], found[1], found[2]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return {
            "tasks": list(self.tasks),
            "objectives": [asdict(objective) for objective in self.objectives],
            "divisions": self.divisions,
            "values": self.values.tolist(),
            **{name: _plain(getattr(self, name)) for name in ("lower", "upper")},
            "level": self.level,
            "error": self.error.tolist(),
            "edge_error": self.edge_error.tolist(),
            "far": np.flatnonzero(self.far).tolist(),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> PredictedGrid:
        """The inverse of `as_dict`."""
        far = np.zeros(len(stored["values"]), dtype=bool)
        far[np.array(stored["far"], dtype=int)] = True
        objectives = tuple(Objective.from_dict(objective) for objective in stored["objectives"])
        tables = {name: np.array(stored[name], dtype=np.float64) for name in _TABLES}
        return cls(
            tasks=tuple(stored["tasks"]),
            objectives=objectives,
            divisions=stored["divisions"],
            level=stored["level"],
            far=far,
            **tables,
        )


def grid_points(surrogate: Fitted) -> np.ndarray | None:
    """Where `predicted_grid` predicts, `[K, T]`; `None` for another domain than the simplex of two to six weights."""
    tasks = len(surrogate.tasks)
    known = isinstance(surrogate.domain, Simplex) and tasks in DIVISIONS
    return simplex_grid(tasks, DIVISIONS[tasks]) if known else None


def predicted_grid(
    surrogate: Fitted,
    *,
    level: float = 0.9,
    draws: int = 200,
    seed: int = 0,
    deviations: np.ndarray | None = None,
    parameters: np.ndarray | None = None,
) -> PredictedGrid | None:
    """All a surrogate says about the simplex of task weights; no model is evaluated.

    The intervals are those of `fronts.front_uncertainty`, whose arguments `draws`, `seed`, `deviations` and
    `parameters` (of the grid's points) are the same.

    Args:
        surrogate: fitted over task weights.
        level: of the intervals.
        draws: joint draws.
        seed: of the draws, and of the places where the interpolation is held against the surrogate.
        deviations: bootstrap deviations of the surrogate's scores.
        parameters: standard deviations under draws of the parameters.

    Returns:
        `None` for another domain than the simplex of two to six task weights.

    Raises:
        DataError: as `fronts.score_uncertainty`.
    """
    points = grid_points(surrogate)
    if points is None:
        return None
    found = score_uncertainty(surrogate, points, draws=draws, seed=seed, deviations=deviations, parameters=parameters)
    lower, upper = found.interval(level)
    unknown = np.zeros(len(found.objectives))
    divisions = DIVISIONS[len(surrogate.tasks)]
    grid = PredictedGrid(
        surrogate.tasks, found.objectives, divisions, found.mean, lower, upper, level, unknown, unknown,
        surrogate.extrapolates(points),
    )  # fmt: skip
    error, edge_error = _errors(grid, surrogate, seed)
    return replace(grid, error=error, edge_error=edge_error)


def _errors(grid: PredictedGrid, surrogate: Fitted, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest errors of interpolation at random points inside and near the edges; where all are near, of all."""
    between = np.random.default_rng(seed).dirichlet(np.ones(len(grid.tasks)), _CHECKED_AT)
    errors = np.abs(grid.at(between)[0] - np.asarray(surrogate.predict(between)[0]))
    inside = (between >= 1 / grid.divisions).all(axis=1)
    worst = errors.max(axis=0)
    return (errors[inside].max(axis=0) if inside.sum() >= _ENOUGH else worst), worst


def kuhn_corners(weights: Sequence[float] | np.ndarray, divisions: int) -> list[tuple[tuple[int, ...], float]]:
    """The grid points (in multiples of `1 / divisions`) around task weights `[T]`, with their shares.

    >>> kuhn_corners([0.625, 0.375], 4)
    [((2, 2), 0.5), ((3, 1), 0.5)]
    """
    cumulated = np.minimum(np.cumsum(np.asarray(weights, dtype=np.float64)[:-1]) * divisions, divisions)
    corner = np.floor(cumulated + _ROUNDING).astype(int)
    parts = np.maximum(cumulated - corner, 0.0)
    # Of equal parts either may step first: the corner between the two steps has no share.
    order = sorted(range(len(parts)), key=lambda j: -parts[j])
    heights = [1.0, *(float(parts[j]) for j in order), 0.0]
    found = []
    for step in range(len(order) + 1):
        if step:
            corner[order[step - 1]] += 1
        share = heights[step] - heights[step + 1]
        if share > 0:
            edges = [0, *corner.tolist(), divisions]
            found.append((tuple(edges[t + 1] - edges[t] for t in range(len(edges) - 1)), share))
    return found


def _plain(table: np.ndarray) -> list[list[float | None]]:
    return [[float(value) if np.isfinite(value) else None for value in row] for row in table]
