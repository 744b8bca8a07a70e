"""How much of the objective space a set of points dominates, up to a reference point.

`hypervolume(A, r)` is the volume of the union of the boxes `[a, r]`, `a` in `A` (Zitzler & Thiele, 1998,
Multiobjective optimization using evolutionary algorithms). Two fronts can be compared only with the same
reference point.
"""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import ArrayLike

from paretomerge.errors import DataError
from paretomerge.fronts.points import Points, directions_of, minimised_values, require_points
from paretomerge.types import Front, Objective, Scores, from_minimised, to_minimised

MARGIN = 0.1


def hypervolume(
    points: Points, reference: ArrayLike | None = None, objectives: Sequence[Objective] | None = None
) -> float:
    """The exact hypervolume; dominated points and points beyond the reference point add nothing.

    Args:
        points: `[N, M]` in the objectives' own directions, or `Scores` or a `Front`.
        reference: `[M]` in the objectives' own directions. When not given: a front's own reference point,
            otherwise the worst of the points plus 10 % of their range (see `reference_point`), which is no
            basis for comparing two sets.
        objectives: the directions of an array; everything is minimised when not given.

    Raises:
        DataError: not a table of finite numbers, or a reference point of another shape.

    >>> hypervolume([[5, 5], [4, 6], [2, 7], [7, 4]], reference=[10, 10])
    38.0
    """
    values = minimised_values(points, objectives)
    directions = directions_of(points, objectives)
    if reference is None:
        if isinstance(points, Front):
            reference = points.reference
        else:
            reference = _flip(beyond_worst(require_points(values, "values")), directions)
    corner = _flip(require_reference(reference, values.shape[1]), directions)
    if not len(values):
        return 0.0
    return float(moocore.hypervolume(values, ref=corner))


def reference_point(*score_sets: Scores | Front, margin: float = MARGIN) -> np.ndarray:
    """`[M]`: in every objective, the worst value of all sets plus `margin` times their common range.

    Minimised, `r = max + margin · (max - min)` over every point of every set; a maximised objective is turned,
    so the result is in each objective's own direction. An objective in which all points agree has no range:
    `margin · |value|` is used, and `margin` itself when that value is zero, so that every point stays strictly
    inside the reference point.

    Args:
        score_sets: everything that will be compared, with the same objectives.
        margin: `> 0`, or zero for the worst values themselves.

    Raises:
        DataError: nothing given, different objectives, or a negative margin.
    """
    if not score_sets:
        raise DataError("a reference point needs at least one set of scores")
    objectives = score_sets[0].objectives
    for other in score_sets[1:]:
        if [(o.name, o.direction) for o in other.objectives] != [(o.name, o.direction) for o in objectives]:
            raise DataError(
                f"the sets have different objectives ({', '.join(o.name for o in objectives)}; "
                f"{', '.join(o.name for o in other.objectives)}): one reference point needs the same ones in "
                "the same order"
            )
    if not (np.isfinite(margin) and margin >= 0):
        raise DataError(f"margin is {margin}, expected a number >= 0 (0.1 is ten per cent of the range)")
    values = np.concatenate([minimised_values(scores) for scores in score_sets])
    return from_minimised(beyond_worst(require_points(values, "scores"), margin), objectives)


def require_reference(reference: ArrayLike, objectives: int) -> np.ndarray:
    """`reference` as `[M]` finite float64, or `DataError`."""
    try:
        point = np.array(reference, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"the reference point must be numbers, got {reference!r}") from error
    if point.shape != (objectives,):
        raise DataError(
            f"the reference point has shape {list(point.shape)}, expected [{objectives}]: one value per objective"
        )
    if not np.isfinite(point).all():
        raise DataError(f"the reference point {point.tolist()} contains NaN or infinity")
    return point


def beyond_worst(values: np.ndarray, margin: float = MARGIN) -> np.ndarray:
    """The rule of `reference_point` for minimised values `[N, M]`, `N >= 1`."""
    worst = values.max(axis=0)
    width = worst - values.min(axis=0)
    size = np.where(worst == 0, 1.0, np.abs(worst))
    return worst + margin * np.where(width > 0, width, size)


def _flip(values: np.ndarray, objectives: Sequence[Objective] | None) -> np.ndarray:
    return values if objectives is None else to_minimised(values, objectives)
