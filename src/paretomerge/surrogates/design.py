"""Which weightings to evaluate first: corners, centre, then whatever is farthest from those chosen so far."""

from __future__ import annotations

import numpy as np

from paretomerge.errors import DataError
from paretomerge.types import simplex_grid


def simplex_design(tasks: int, count: int) -> np.ndarray:
    """`count` weightings on the simplex, `[count, T]`, each prefix of which is a good design by itself.

    The corners (the finetunes themselves), the centre, then greedily the grid point farthest from all chosen
    (a maximin design; Johnson, Moore & Ylvisaker, 1990). A larger budget extends a smaller one, so nothing already
    evaluated is wasted. A single task has a single weighting.

    >>> simplex_design(2, 4).tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.25, 0.75]]
    """
    if count < 0:
        raise DataError(f"a design needs a number of weightings >= 0, got {count}")
    if tasks == 1:
        return np.ones((min(count, 1), 1))
    divisions = _divisions(tasks)
    candidates = simplex_grid(tasks, divisions)
    chosen = [*np.eye(tasks), np.full(tasks, 1 / tasks)]
    distance = _distances(candidates, chosen)
    while len(chosen) < count:
        if distance.max() < 1e-9:
            # Every point of the grid is taken; grids nest, so a finer one goes on where this one stopped.
            divisions *= 2
            candidates = simplex_grid(tasks, divisions)
            distance = _distances(candidates, chosen)
        chosen.append(candidates[int(np.argmax(np.round(distance, 9)))])
        distance = np.minimum(distance, np.linalg.norm(candidates - chosen[-1], axis=1))
    return np.array(chosen[:count]).reshape(-1, tasks)


def _distances(candidates: np.ndarray, chosen: list[np.ndarray]) -> np.ndarray:
    return np.min([np.linalg.norm(candidates - point, axis=1) for point in chosen], axis=0)


def _divisions(tasks: int) -> int:
    """Quarters, or less for very many tasks; it must not depend on the size of the design, or prefixes would."""
    divisions = 4
    while _grid_size(tasks, divisions) > 20_000 and divisions > 1:
        divisions //= 2
    return divisions


def _grid_size(tasks: int, divisions: int) -> int:
    size = 1
    for step in range(1, tasks):
        size = size * (divisions + step) // step
    return size
