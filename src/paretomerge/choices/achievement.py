"""The augmented achievement function, which reference points and classifications share.

Shapes: `K` points, `M` objectives.
"""

from __future__ import annotations

import math

import numpy as np

from paretomerge.errors import DataError
from paretomerge.fronts import minimised_values
from paretomerge.types import Front

AUGMENTATION = 1e-4
"""Small: it breaks ties and bounds how much of one objective is traded for another."""


def achievement(front: Front, values: np.ndarray, goal: np.ndarray, augmentation: float) -> np.ndarray:
    """`[..., K]`: how far scores fall short of a goal.

        s(v) = max_{m wished} (v_m - q_m) / r_m  +  augmentation · Σ_m (v_m - q_m) / r_m

    with `r` the range of each objective over the front (Wierzbicki, 1980, The use of reference objectives in
    multiobjective optimization). An objective in which all points of the front agree takes no part: it cannot tell
    them apart.

    Args:
        front: gives the ranges.
        values: `[..., K, M]`, minimised.
        goal: `[M]`, minimised; NaN for an objective without a wish, which only takes part in the sum.
        augmentation: `>= 0`.
    """
    own = minimised_values(front)
    width = np.ptp(own, axis=0)
    varies, wished = width > 0, ~np.isnan(goal)
    # Without a goal the best value stands in: a constant in the sum, which changes no choice.
    short = (values - np.where(wished, goal, own.min(axis=0))) / np.where(varies, width, 1.0)
    short, deciding = short[..., varies], short[..., varies & wished]
    largest = deciding.max(axis=-1) if deciding.shape[-1] else np.zeros(values.shape[:-1])
    return largest + augmentation * short.sum(axis=-1)


def require_augmentation(value: float) -> None:
    """Raise `DataError` unless it is a finite number `>= 0`."""
    if not (math.isfinite(value) and value >= 0):
        raise DataError(f"augmentation is {value}, expected a finite number >= 0, such as {AUGMENTATION:g}")
