"""The way into this room: objective values as a checked float64 array in which smaller is better.

Shapes: `N` points, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from paretomerge.errors import DataError
from paretomerge.types import Front, Objective, Scores, to_minimised

Points: TypeAlias = ArrayLike | Front | Scores


def minimised_values(points: Points, objectives: Sequence[Objective] | None = None, what: str = "values") -> np.ndarray:
    """`[N, M]` float64, every objective turned so that smaller is better.

    Args:
        points: an array `[N, M]` in the objectives' own directions, or `Scores` or a `Front`, which carry
            their objectives.
        objectives: the directions of an array; everything is minimised when not given.
        what: what an error message calls the points.

    Raises:
        DataError: not a table of numbers, NaN or infinity, or objectives that do not fit.

    >>> minimised_values([[0.9, 0.2]], [Objective("accuracy", "maximise"), Objective("loss")]).tolist()
    [[-0.9, 0.2]]
    """
    if isinstance(points, Front | Scores):
        if objectives is not None and _names(objectives) != _names(points.objectives):
            raise DataError(
                f"{what} carry the objectives {_names(points.objectives)}, but {_names(objectives)} were given: "
                "leave the objectives out, or give the same ones"
            )
        return to_minimised(points.values, points.objectives)
    values = _table(points, what)
    if objectives is None:
        return values
    if values.shape[1] != len(objectives):
        raise DataError(
            f"{what} have {values.shape[1]} columns, but there are {len(objectives)} objectives "
            f"({_names(objectives)}): give one column per objective"
        )
    return to_minimised(values, objectives)


def normalised_values(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """`(values - best) / (worst - best)`, with best and worst of each column taken from `reference [R, M]`.

    Both minimised. A column that is constant in `reference` has no range: it is shifted and not scaled.

    >>> normalised_values(np.array([[3.0, 7.0]]), np.array([[1.0, 5.0], [5.0, 5.0]])).tolist()
    [[0.5, 2.0]]
    """
    best = reference.min(axis=0)
    width = reference.max(axis=0) - best
    return (values - best) / np.where(width > 0, width, 1.0)


def directions_of(points: Points, objectives: Sequence[Objective] | None) -> Sequence[Objective] | None:
    """The objectives that `points` carry, or else the given ones."""
    return points.objectives if isinstance(points, Front | Scores) else objectives


def require_points(values: np.ndarray, what: str) -> np.ndarray:
    """`values`, or `DataError` when there are none."""
    if not len(values):
        raise DataError(f"{what}: there are no points, at least one is needed")
    return values


def _table(points: ArrayLike, what: str) -> np.ndarray:
    try:
        values = np.array(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} must be a table of numbers (points × objectives), got {points!r}") from error
    if values.ndim != 2 or values.shape[1] < 1:
        raise DataError(
            f"{what} have shape {list(values.shape)}, expected [points, objectives]: one row per point, also for "
            "a single point or a single objective"
        )
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(
            f"{what} contain {values[row, column]} (point {row}, objective {column}): a diverged model or a "
            "broken evaluator; leave that point out"
        )
    return values


def _names(objectives: Sequence[Objective]) -> str:
    return ", ".join(f"{objective.name} ({objective.direction})" for objective in objectives)
