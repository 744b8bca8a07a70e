"""From an estimated front to the one point for a preference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from paretomerge.errors import DataError
from paretomerge.fronts.methods.base import FrontEstimate
from paretomerge.fronts.search import preferred_point
from paretomerge.types import Constraint


def for_preference(
    estimate: FrontEstimate, weights: ArrayLike, constraints: Sequence[Constraint] = (), *, seed: int = 0
) -> np.ndarray:
    """The point `[D]` that the surrogate predicts to have the best weighted sum of the front's objectives.

    Between the points of the front and not only one of them: see `preferred_point`, which starts from the front.

    Args:
        estimate: what a method found, with a surrogate.
        weights: `[M] >= 0`, one per objective of the front, in their units.
        constraints: limits that the point must be predicted to respect, as in the problem.
        seed: of the search.

    Raises:
        DataError: an estimate without a surrogate, or weights that do not fit.
    """
    if estimate.surrogate is None:
        raise DataError(
            "this method only measured and predicts nothing between its points: choose one of the front's, or use a "
            "method with a surrogate"
        )
    names = [objective.name for objective in estimate.surrogate.objectives]
    traded = [names.index(objective.name) for objective in estimate.front.objectives]
    return preferred_point(estimate.surrogate, weights, traded, constraints, start=estimate.front.weights, seed=seed)
