"""What a regression cannot express: a zero-mean Gaussian process with a Matérn 5/2 covariance.

    cov(r(x), r(x')) = amplitude² · (1 + √5 d + 5/3 d²) exp(-√5 d),     d = |x - x'| / length

Twice differentiable paths, which is what losses along directions in parameter space look like (Rasmussen & Williams,
2006, Gaussian processes for machine learning, 4.2.1). One length for all coordinates: few scores determine no more.

Shapes: `N` and `K` points, `D` coordinates.
"""

from __future__ import annotations

import numpy as np

from paretomerge.types import Box, Domain

_ROOT5 = 5**0.5


def unit_coordinates(points: np.ndarray, domain: Domain) -> np.ndarray:
    """Points `[K, D]` with every side of a box as long as one; those of a simplex already are."""
    if isinstance(domain, Box):
        lower, upper = domain.corners
        return (points - lower) / (upper - lower)
    return points


def distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Euclidean distances `[K, N]` between points `[K, D]` and others `[N, D]`."""
    squares = (points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * points @ others.T
    return np.sqrt(np.maximum(squares, 0.0))


def correlation(distance: np.ndarray, length: float | np.ndarray) -> np.ndarray:
    """Matérn 5/2 of distances of any shape."""
    scaled = (_ROOT5 / length) * distance
    return (1 + scaled + scaled**2 / 3) * np.exp(-scaled)


def correlation_slope(distance: np.ndarray, length: float) -> np.ndarray:
    """The derivative of `correlation` with respect to the logarithm of the length."""
    scaled = (_ROOT5 / length) * distance
    return scaled**2 * (1 + scaled) / 3 * np.exp(-scaled)
