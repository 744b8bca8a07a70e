"""Which points are worth looking at: those that no other point dominates.

A point dominates another when it is nowhere worse and somewhere better (Pareto dominance).
"""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import ArrayLike

from paretomerge.errors import DataError
from paretomerge.fronts.hypervolume import reference_point
from paretomerge.fronts.points import Points, minimised_values
from paretomerge.types import Front, Objective, Scores


def is_nondominated(
    values: Points, objectives: Sequence[Objective] | None = None, keep_weakly: bool = False
) -> np.ndarray:
    """`[N]` booleans: whether no other point dominates this one. `O(N log N)` for up to three objectives.

    Args:
        values: `[N, M]` in the objectives' own directions, or `Scores` or a `Front`.
        objectives: the directions of an array; everything is minimised when not given.
        keep_weakly: whether every copy of equal points is kept, instead of only the first.

    Raises:
        DataError: not a table of finite numbers.

    >>> is_nondominated([[1, 1], [0, 1], [1, 0], [1, 0]]).tolist()
    [False, True, True, False]
    """
    table = minimised_values(values, objectives)
    if not len(table):
        return np.zeros(0, dtype=bool)
    return np.asarray(moocore.is_nondominated(table, keep_weakly=keep_weakly), dtype=bool)


def nondominated_scores(scores: Scores) -> Scores:
    """The models that no other model dominates; of models with equal scores, the first."""
    return scores.take(is_nondominated(scores))


def front_from_scores(scores: Scores, reference: ArrayLike | None = None) -> Front:
    """The non-dominated part of `scores` as a `Front`; the standard errors become its standard deviations.

    Args:
        scores: of any origin.
        reference: `[M]`, in each objective's own direction; `reference_point(scores)` when not given, which
            looks at *all* scores, the dominated ones too.

    Raises:
        DataError: no scores, or a reference point of another shape.
    """
    if not len(scores):
        raise DataError("a front needs at least one score: nothing was measured or predicted yet")
    kept = nondominated_scores(scores)
    return Front(
        tasks=kept.tasks,
        weights=kept.weights,
        values=kept.values,
        stdev=kept.stderr,
        objectives=kept.objectives,
        reference=reference_point(scores) if reference is None else np.array(reference, dtype=np.float64),
        origin=kept.origin,
    )
