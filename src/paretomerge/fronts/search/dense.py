"""Dense search: every point of a fine grid over the domain.

Shapes: `K` points, `D` coordinates.
"""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np

from paretomerge.fronts.search.landmarks import landmarks
from paretomerge.types import Box, Domain, Simplex, simplex_grid

LARGEST_GRID = 20_000
ROUND_DIVISIONS = (1000, 500, 200, 100, 50, 40, 25, 20, 10, 5, 4, 2, 1)
"""Weights of a grid are read by people."""
FINEST = ROUND_DIVISIONS[0]
COARSEST = 20
_LEVELS = 5


def grid_divisions(coordinates: int, most: int = LARGEST_GRID) -> int:
    """The finest grid of round weights on the simplex with fewer than `most` points; 0 if there is none.

    >>> [grid_divisions(tasks) for tasks in (2, 3, 4, 8, 20)]
    [1000, 100, 40, 10, 4]
    """
    return next((d for d in ROUND_DIVISIONS if comb(d + coordinates - 1, coordinates - 1) < most), 0)


def is_dense(domain: Domain) -> bool:
    """Whether a grid of fewer than 20 000 points is fine: a simplex cut at least 20 times along each edge."""
    return isinstance(domain, Simplex) and grid_divisions(len(domain.names)) >= COARSEST


def dense_points(domain: Domain, seed: int = 0, most: int = LARGEST_GRID) -> np.ndarray:
    """Fewer than `most` points `[K, D]` that fill the domain.

    A simplex gets its regular grid. A box gets the product of equally many levels per coordinate, at least five;
    with too many coordinates for that, and in any other domain, a scrambled Sobol sequence after the landmarks.
    """
    size = len(domain.names)
    if isinstance(domain, Simplex):
        return simplex_grid(size, max(grid_divisions(size, most), 1))
    levels = int(np.floor((most - 1) ** (1 / size) + 1e-9))
    if isinstance(domain, Box) and levels >= _LEVELS:
        lower, upper = domain.corners
        axes = [np.linspace(low, high, min(levels, FINEST + 1)) for low, high in zip(lower, upper, strict=True)]
        return np.array(list(product(*axes)))
    marks = landmarks(domain)
    return np.concatenate([marks, domain.spread(max(most - 1 - len(marks), 0), seed)])
