"""The balanced tree over tasks of Nested MAP, what is measured at its nodes, and how the points of two children make a
point of their parent.

Shapes: `K` points, `D` coordinates of the whole domain (one per task).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paretomerge.errors import DataError
from paretomerge.fronts.methods.base import FrontProblem
from paretomerge.types import Box, Domain, Simplex

_LARGEST_SCALE = 1.25
_LEAF_SCALES = (1.0, 0.5)


@dataclass(frozen=True)
class Node:
    """Some consecutive tasks, by number; two children, or none for a single task."""

    members: tuple[int, ...]
    children: tuple[Node, ...] = ()

    @property
    def height(self) -> int:
        """0 for a single task."""
        return 1 + max(child.height for child in self.children) if self.children else 0

    def at_height(self, height: int) -> list[Node]:
        """The nodes of this height below (and including) this one, from left to right."""
        below = [node for child in self.children for node in child.at_height(height)]
        return [self] if self.height == height else below


def balanced_tree(tasks: int) -> Node:
    """Tasks are halved until they are alone, so no leaf is deeper than `ceil(log2 tasks)`.

    >>> balanced_tree(5).height, [node.members for node in balanced_tree(5).at_height(1)]
    (3, [(0, 1), (3, 4)])
    """
    return _tree(tuple(range(tasks)))


def compose(left: np.ndarray, right: np.ndarray, shares: np.ndarray, domain: Domain) -> np.ndarray:
    """Points `[K, D]` of a parent from points `[K, D]` of its children, each zero at the other's tasks.

    On the simplex `λ·left + (1 - λ)·right`, with `λ` the first column of `shares [K, 2]`, which lie in `[0, 1]`. In a
    box `s·left + t·right`: merged children are scaled as task vectors are, by up to 1.25.
    """
    if isinstance(domain, Simplex):
        share = shares[:, :1]
        return share * left + (1 - share) * right
    return domain.nearest(_LARGEST_SCALE * (shares[:, :1] * left + shares[:, 1:] * right))


def part_of(domain: Domain, members: tuple[int, ...]) -> Domain:
    """The domain of some of the coordinates."""
    names = tuple(domain.names[member] for member in members)
    if isinstance(domain, Box):
        lower, upper = (tuple(bound[list(members)].tolist()) for bound in domain.corners)
        return Box(names, lower, upper)
    return Simplex(names)


def average_point(members: Sequence[int], domain: Domain) -> np.ndarray:
    """Equal shares of some tasks."""
    point = np.zeros((1, len(domain.names)))
    point[0, list(members)] = 1 / len(members)
    return domain.nearest(point)[0] if isinstance(domain, Box) else point[0]


def columns_of(problem: FrontProblem, members: Sequence[int]) -> list[int]:
    """The objectives measured on these tasks; on all tasks together, every objective."""
    if len(members) == len(problem.tasks):
        return list(range(len(problem.objectives)))
    names = {problem.tasks[member] for member in members}
    return [n for n, objective in enumerate(problem.objectives) if objective.task in names]


def base_points(domain: Domain) -> np.ndarray:
    """The base model, which a simplex does not hold."""
    return np.zeros((int(isinstance(domain, Box)), len(domain.names)))


def finetune_points(domain: Domain, task: int) -> np.ndarray:
    """The finetune, and in a box half of its task vector."""
    scales = _LEAF_SCALES if isinstance(domain, Box) else _LEAF_SCALES[:1]
    points = np.zeros((len(scales), len(domain.names)))
    points[:, task] = scales
    return np.unique(domain.nearest(points), axis=0)[::-1]


def require_nestable(problem: FrontProblem) -> None:
    """Raise `DataError` unless there are tasks to merge, one coordinate and some objective for each."""
    domain = problem.domain
    if len(problem.tasks) < 2 or domain.names != problem.tasks or not isinstance(domain, Box | Simplex):
        raise DataError(
            f"nested-map merges two or more tasks, with one coordinate each; the tasks are {', '.join(problem.tasks)} "
            f"and the coordinates {', '.join(domain.names)}: use another method for groups of parameters"
        )
    lacking = [task for t, task in enumerate(problem.tasks) if not columns_of(problem, (t,))]
    if lacking:
        raise DataError(f"nothing is measured on task {lacking[0]!r}: nested-map needs an objective of each task")
    if isinstance(domain, Box) and not all(low <= 0 < high for low, high in zip(*domain.corners, strict=True)):
        raise DataError("nested-map leaves tasks out of merges: the bounds of each coefficient must include zero")


def _tree(members: tuple[int, ...]) -> Node:
    if len(members) == 1:
        return Node(members)
    half = (len(members) + 1) // 2
    return Node(members, (_tree(members[:half]), _tree(members[half:])))
