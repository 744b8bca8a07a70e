"""Means, ratios and paired tests over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from benchmarks.publishing import RESAMPLES, bootstrap_ratio

EXACT = 14
"""Up to so many pairs all sign flips are counted; beyond, as many as intervals have resamples."""
Interval = tuple[float, float] | None


def mean_with_interval(values: np.ndarray) -> tuple[float, Interval]:
    """Mean over seeds and its 95 % percentile interval; none for a single seed."""
    if len(values) < 2:
        return float(values.mean()), None
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return float(values.mean()), (float(low), float(high))


def ratio_with_interval(one: np.ndarray, other: np.ndarray) -> tuple[float, Interval]:
    """Ratio of means over the same seeds, resampled together; no interval for a single seed."""
    ratio = float(one.mean() / other.mean())
    if len(one) < 2:
        return ratio, None
    low, high = bootstrap_ratio(one, other)
    return ratio, (low, high)


def sign_flips(differences: Sequence[float] | np.ndarray) -> float:
    """Two-sided p-value of a paired permutation test on the mean: signs are exchangeable if nothing differs.

    With `n` pairs it cannot be below `2 / 2ⁿ`: 0.0625 for five seeds.

    >>> sign_flips([1.0, 2.0, 3.0])
    0.25
    """
    values = np.asarray(differences, dtype=np.float64)
    count = len(values)
    if count <= EXACT:
        signs = np.array(list(product((1.0, -1.0), repeat=count)))
    else:
        drawn = np.random.default_rng(0).choice((1.0, -1.0), size=(RESAMPLES, count))
        signs = np.concatenate([np.ones((1, count)), drawn])
    means = np.abs(signs @ values)
    return float((means >= means[0] * (1 - 1e-12)).mean())


def wilcoxon(differences: Sequence[float] | np.ndarray) -> float | None:
    """Two-sided p-value of the signed-rank test (Wilcoxon, 1945), from five pairs on that are not all equal."""
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 5 or not np.any(values):
        return None
    from scipy import stats  # slow to import

    return float(stats.wilcoxon(values).pvalue)
