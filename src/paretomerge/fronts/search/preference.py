"""One point for one preference: the best weighted sum of predicted scores.

Shapes: `K` points, `D` coordinates, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from paretomerge.errors import DataError
from paretomerge.fronts.predictions import predicted_scores
from paretomerge.fronts.search.landmarks import bounds_of, landmarks
from paretomerge.surrogates import Fitted
from paretomerge.types import Constraint, are_feasible, to_minimised

_SCATTER = 512
_ROUNDS = 14
_TRIES = 192
_WIDEST = 0.25
_SHRINK = 0.7


def preferred_point(
    surrogate: Fitted,
    weights: ArrayLike,
    traded: Sequence[int] | None = None,
    constraints: Sequence[Constraint] = (),
    *,
    start: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """The point `[D]` of the surrogate's domain with the least `Σ_m w_m y_m` of predicted means, all turned to be
    minimised, among those predicted to be feasible.

    Starts from the best of `start` (or of points all over the domain), then tries random steps from the best point so
    far, which become shorter; each step changes some of the coordinates.

    Args:
        surrogate: predicts every objective.
        weights: `w [M] >= 0`, one per traded objective, not all zero; in the units of the objectives.
        traded: numbers of the objectives that are weighted; all when not given.
        constraints: limits on predicted means.
        start: points `[K, D]` to start from, such as a front's.
        seed: of the random steps.

    Raises:
        DataError: weights that do not fit, or no feasible point among those tried first.
    """
    columns = list(range(len(surrogate.objectives))) if traded is None else list(traded)
    w = _checked(weights, len(columns))
    generator = np.random.default_rng(seed)
    domain = surrogate.domain
    objectives = [surrogate.objectives[column] for column in columns]

    def value(points: np.ndarray) -> np.ndarray:
        scores = predicted_scores(surrogate, points)
        total = to_minimised(scores.values[:, columns], objectives) @ w
        return np.where(are_feasible(scores.values, scores.objectives, constraints), total, np.inf)

    points = start if start is not None else np.concatenate([landmarks(domain), domain.spread(_SCATTER, seed)])
    values = value(domain.nearest(points))
    best, lowest = domain.nearest(points)[values.argmin()], values.min()
    if not np.isfinite(lowest):
        raise DataError(
            f"none of {len(points)} points is predicted to respect {' and '.join(map(str, constraints))}: loosen the "
            "limit, or start from the points of a front that respects it"
        )
    lower, upper = bounds_of(domain)
    size = len(lower)
    for number in range(_ROUNDS):
        steps = generator.standard_normal((_TRIES, size)) * (upper - lower) * _WIDEST * _SHRINK**number
        changed = generator.random((_TRIES, size)) < generator.choice([2.0 / size, 1.0], (_TRIES, 1))
        tried = domain.nearest(best + steps * changed)
        values = value(tried)
        if values.min() < lowest:
            best, lowest = tried[values.argmin()], values.min()
    return best


def _checked(weights: ArrayLike, objectives: int) -> np.ndarray:
    try:
        w = np.array(weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"a preference is numbers, one per objective, got {weights!r}") from error
    if w.shape != (objectives,) or not np.isfinite(w).all() or (w < 0).any() or not w.any():
        raise DataError(
            f"the preference {w.tolist()} does not fit: give {objectives} weights >= 0, one per traded objective, and "
            "at least one above zero"
        )
    return w
