"""Points of a domain that every search should have seen: single tasks, the average, the base.

Shapes: `K` points, `D` coordinates.
"""

from __future__ import annotations

import numpy as np

from paretomerge.types import Box, Domain


def landmarks(domain: Domain) -> np.ndarray:
    """Points `[K, D]` without repetition: one coordinate at one and the others at zero, the average, the base (a box
    only), each moved into the domain; in a box also each coordinate at its upper bound, with the others at zero.

    >>> landmarks(Box(("a", "b"), 0.0, 2.0)).tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.0, 0.0], [2.0, 0.0], [0.0, 2.0]]
    """
    size = len(domain.names)
    wanted = [np.eye(size), np.full((1, size), 1.0 / size)]
    if isinstance(domain, Box):
        wanted += [np.zeros((1, size)), np.diag(domain.corners[1])]
    points = domain.nearest(np.concatenate(wanted))
    _, first = np.unique(points, axis=0, return_index=True)
    return points[np.sort(first)]


def bounds_of(domain: Domain) -> tuple[np.ndarray, np.ndarray]:
    """`(lower, upper)`, each `[D]`, of a box that holds the domain; weights lie between zero and one."""
    if isinstance(domain, Box):
        return domain.corners
    return np.zeros(len(domain.names)), np.ones(len(domain.names))
