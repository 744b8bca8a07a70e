"""How sure it is that a point of an estimated front belongs there.

Shapes: `S` draws, `K` points, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np

from paretomerge.errors import DataError
from paretomerge.types import Objective, to_minimised


def probability_nondominated(
    draws: np.ndarray, objectives: Sequence[Objective], feasible: np.ndarray | None = None
) -> np.ndarray:
    """`[K]`: the share of draws in which no other of the `K` points dominates a point.

    Between the given points only: that a point which nobody looked at dominates it is another question, of the
    search. Joint draws keep what points share, so that an error which moves all of them together dominates nobody.

    Args:
        draws: `[S, K, M]`, joint over points, in the objectives' own directions.
        objectives: the `M` objectives.
        feasible: `[S, K]`; in a draw in which a point is not, it neither counts as non-dominated nor dominates.

    Raises:
        DataError: draws of another shape, or not finite.

    >>> values = np.array([[[0.0, 1.0], [1.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]])
    >>> probability_nondominated(values, [Objective("a"), Objective("b")]).tolist()
    [1.0, 0.5]
    """
    values = to_minimised(checked_draws(draws, len(objectives)), objectives)
    # moocore wants two columns; a constant one changes nothing.
    values = np.concatenate([values, np.zeros((*values.shape[:2], 1))], axis=2) if values.shape[2] == 1 else values
    count, points, size = values.shape
    counted = np.ones((count, points), dtype=bool) if feasible is None else np.asarray(feasible, dtype=bool)
    kept = np.zeros((count, points), dtype=bool)
    sets = np.repeat(np.arange(count), points).reshape(count, points)[counted]
    if len(sets):
        kept[counted] = moocore.is_nondominated_within_sets(values[counted].reshape(-1, size), sets, keep_weakly=True)
    return kept.mean(axis=0)


def checked_draws(draws: np.ndarray, objectives: int) -> np.ndarray:
    """`draws` as float64 `[S, K, M]` with at least one draw and point, or `DataError`."""
    values = np.asarray(draws, dtype=np.float64)
    if values.ndim != 3 or values.shape[2] != objectives or 0 in values.shape or not np.isfinite(values).all():
        raise DataError(
            f"draws have shape {list(values.shape)}, expected [draws, points, {objectives} objectives] finite numbers, "
            "at least one of each"
        )
    return values
