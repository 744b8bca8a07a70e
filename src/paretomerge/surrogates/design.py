"""Which points to evaluate first: the models everyone knows, then whatever fills the domain."""

from __future__ import annotations

import numpy as np

from paretomerge.errors import DataError
from paretomerge.types import Domain, Simplex, simplex_grid


def initial_design(domain: Domain, count: int, seed: int = 0) -> np.ndarray:
    """`count` points to evaluate before there is any surrogate, `[count, D]`; a larger design extends a smaller one.

    On the simplex `simplex_design`. In a box the base model (`c = 0`, where the box has it), each finetune (`1` on a
    task's coefficient, or on all of them where names are `group:task`), their average (`1/T` each), all moved into the
    bounds, then a scrambled Sobol sequence. Distinct points; a simplex of one task has only one.

    Args:
        domain: where.
        count: how many.
        seed: of the scrambling.

    Raises:
        DataError: a negative number.

    >>> from paretomerge.types import Box
    >>> initial_design(Box(("a", "b")), 4).tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]
    """
    if count < 0:
        raise DataError(f"a design needs a number of points >= 0, got {count}")
    if isinstance(domain, Simplex):
        return simplex_design(len(domain.names), count)
    known = _known_models(domain)[:count]
    return np.concatenate([known, domain.spread(count - len(known), seed)])


def _known_models(domain: Domain) -> np.ndarray:
    """Base, finetunes and their average, without repetition."""
    finetunes = _finetunes(domain.names)
    points = np.concatenate([finetunes, finetunes.mean(axis=0, keepdims=True)])
    origin = np.zeros((1, len(domain.names)))
    if np.array_equal(domain.nearest(origin), origin):
        points = np.concatenate([origin, points])
    points = domain.nearest(points)
    _, first = np.unique(points.round(9), axis=0, return_index=True)
    return points[np.sort(first)]


def _finetunes(names: tuple[str, ...]) -> np.ndarray:
    """`[T, D]`: one on all coefficients of a task. Tasks are the last parts of `group:task`, if all names are such."""
    tasks = [name.rpartition(":")[2] for name in names]
    groups = {name.rpartition(":")[0] for name in names}
    distinct = list(dict.fromkeys(tasks))
    if "" in groups or len(groups) * len(distinct) != len(names):
        return np.eye(len(names))
    return np.array([[float(task == owner) for owner in tasks] for task in distinct])


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
