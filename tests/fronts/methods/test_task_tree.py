from __future__ import annotations

from math import ceil, log2

import numpy as np
import pytest

from paretomerge.fronts.methods.base import FrontProblem
from paretomerge.fronts.methods.task_tree import (
    average_point,
    balanced_tree,
    base_points,
    columns_of,
    compose,
    finetune_points,
    part_of,
)
from paretomerge.types import Box, Objective, Simplex


@pytest.mark.parametrize("tasks", range(1, 21))
def test_every_inner_node_joins_two_children_and_each_height_is_balanced(tasks):
    tree = balanced_tree(tasks)
    assert tree.members == tuple(range(tasks))
    assert tree.height == ceil(log2(tasks))
    seen = 0
    for height in range(tree.height + 1):
        for node in tree.at_height(height):
            seen += 1
            assert node.height == height
            if node.children:
                left, right = node.children
                assert left.members + right.members == node.members
                assert 0 <= len(left.members) - len(right.members) <= 1
            else:
                assert len(node.members) == 1
    assert seen == 2 * tasks - 1


def test_children_are_mixed_on_the_simplex_and_scaled_in_a_box():
    left, right = np.array([[0.25, 0.75, 0, 0]]), np.array([[0, 0, 0.5, 0.5]])
    shares = np.array([[0.8, 0.4]])
    names = tuple("abcd")
    mixed = compose(left, right, shares, Simplex(names))
    assert mixed[0] == pytest.approx([0.2, 0.6, 0.1, 0.1], abs=1e-12)
    scaled = compose(left, right, shares, Box(names))
    assert scaled[0] == pytest.approx([0.25, 0.75, 0.25, 0.25], abs=1e-12)
    clipped = compose(left, right, shares, Box(names, 0.0, 0.6))
    assert clipped[0] == pytest.approx([0.25, 0.6, 0.25, 0.25], abs=1e-12)


def test_a_part_of_a_domain_keeps_names_and_bounds():
    box = Box(("a", "b", "c"), (-1.0, 0.0, -3.0), (1.0, 2.0, 3.0))
    assert part_of(box, (0, 2)) == Box(("a", "c"), (-1.0, -3.0), (1.0, 3.0))
    assert part_of(Simplex(("a", "b", "c")), (1, 2)) == Simplex(("b", "c"))


def test_what_is_scored_at_leaves_and_for_all():
    box, simplex = Box(("a", "b"), 0.0, 0.8), Simplex(("a", "b"))
    assert finetune_points(box, 1).tolist() == [[0.0, 0.8], [0.0, 0.5]]
    assert finetune_points(Box(("a",), 0.0, 0.4), 0).tolist() == [[0.4]]
    assert finetune_points(simplex, 0).tolist() == [[1.0, 0.0]]
    assert base_points(box).tolist() == [[0.0, 0.0]]
    assert base_points(simplex).shape == (0, 2)
    assert average_point((0, 2), Simplex(("a", "b", "c"))).tolist() == [0.5, 0.0, 0.5]
    assert average_point((0,), box).tolist() == [0.8, 0.0]


def test_objectives_belong_to_the_node_of_their_task_and_the_others_to_the_root():
    objectives = (Objective("acc", task="b"), Objective("size"), Objective("loss", task="a"), Objective("x", task="c"))
    problem = FrontProblem(Simplex(("a", "b", "c")), ("a", "b", "c"), objectives)
    assert columns_of(problem, (0, 1)) == [0, 2]
    assert columns_of(problem, (2,)) == [3]
    assert columns_of(problem, (0, 1, 2)) == [0, 1, 2, 3]
