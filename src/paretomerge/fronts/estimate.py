"""From a fitted surrogate, or from scores, to a front.

Shapes: `K` weightings, `T` tasks, `M` objectives.
"""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from paretomerge.errors import DataError
from paretomerge.fronts.dominance import front_from_scores
from paretomerge.fronts.predictions import Predictor, predicted_scores
from paretomerge.types import Front, Scores, Weights, simplex_grid

LARGEST_GRID = 100_000


def estimate_front(
    surrogate_or_scores: Predictor | Scores,
    weights: Any = None,
    *,
    divisions: int = 10,
    reference: ArrayLike | None = None,
) -> Front:
    """The non-dominated points of scores, or of a surrogate's predictions at many weightings.

    Args:
        surrogate_or_scores: `Scores` of any origin, or a fitted surrogate.
        weights: the weightings `[K, T]` at which the surrogate is evaluated; a simplex grid when not given.
            They must sum to one, unless they are `Weights` made with `on_simplex=False`.
        divisions: of that grid: 10 gives 11 weightings for two tasks and 66 for three.
        reference: the front's reference point, in each objective's own direction; the worst of all the points
            plus 10 % of the range when not given.

    Returns:
        The front; its origin is the scores' own, or `"predicted"` with the surrogate's standard deviations.

    Raises:
        DataError: no scores, weights given with scores, a grid with more than 100 000 weightings, or a surrogate
            that returns other shapes or numbers that are not finite.
        WeightsError: weightings that do not fit the surrogate's tasks.
    """
    if isinstance(surrogate_or_scores, Scores):
        if weights is not None:
            raise DataError("weights are for a surrogate: scores have their own weightings (take() selects rows)")
        return front_from_scores(surrogate_or_scores, reference)
    if not isinstance(surrogate_or_scores, Predictor):
        raise DataError(
            f"a front is estimated from Scores or from a fitted surrogate (tasks, objectives, predict), not from "
            f"{type(surrogate_or_scores).__name__}: has the surrogate been fitted?"
        )
    tasks = surrogate_or_scores.tasks
    if weights is None:
        grid = _grid(len(tasks), divisions)
    else:
        grid = Weights.of(weights, tasks, on_simplex=getattr(weights, "on_simplex", True)).batch
    return front_from_scores(predicted_scores(surrogate_or_scores, grid), reference)


def _grid(tasks: int, divisions: int) -> np.ndarray:
    count = comb(divisions + tasks - 1, tasks - 1) if tasks >= 1 and divisions >= 1 else 0
    if count > LARGEST_GRID:
        raise DataError(
            f"a grid with {divisions} divisions has {count} weightings for {tasks} tasks: use fewer divisions, or "
            "give the weightings"
        )
    return simplex_grid(tasks, divisions)
