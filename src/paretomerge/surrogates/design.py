"""Which weightings to evaluate first: corners, centre, then whatever is farthest from those chosen so far."""

from __future__ import annotations

import numpy as np

from paretomerge.errors import DataError
from paretomerge.types import simplex_grid


def simplex_design(tasks: int, count: int) -> np.ndarray:
    """`count` weightings on the simplex, `[count, T]`, each prefix of which is a good design by itself.

    The corners (the finetunes themselves), the centre, then greedily the grid point farthest from all chosen
    (a maximin design; Johnson, Moore & Ylvisaker, 1990). A larger budget extends a smaller one, so nothing already
    evaluated is wasted.

    >>> simplex_design(2, 4).tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.25, 0.75]]
    """
    if count < 0:
        raise DataError(f"a design needs a number of weightings >= 0, got {count}")
    candidates = simplex_grid(tasks, _divisions(tasks, count))
    chosen = [*np.eye(tasks), np.full(tasks, 1 / tasks)] if tasks > 1 else [np.ones(1)]
    distance = np.min([np.linalg.norm(candidates - point, axis=1) for point in chosen], axis=0)
    while len(chosen) < count and distance.max() > 1e-9:
        chosen.append(candidates[int(np.argmax(np.round(distance, 9)))])
        distance = np.minimum(distance, np.linalg.norm(candidates - chosen[-1], axis=1))
    return np.array(chosen[:count]).reshape(-1, tasks)


def _divisions(tasks: int, count: int) -> int:
    """A grid several times finer than the design, but never huge; powers of two keep grids nested."""
    divisions = 4
    while divisions < 64 and _grid_size(tasks, 2 * divisions) <= 20_000 and _grid_size(tasks, divisions) < 8 * count:
        divisions *= 2
    while _grid_size(tasks, divisions) > 50_000 and divisions > 1:
        divisions //= 2
    return divisions


def _grid_size(tasks: int, divisions: int) -> int:
    size = 1
    for step in range(1, tasks):
        size = size * (divisions + step) // step
    return size
