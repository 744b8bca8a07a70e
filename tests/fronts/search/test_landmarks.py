from __future__ import annotations

import numpy as np

from paretomerge.fronts.search import landmarks
from paretomerge.fronts.search.landmarks import bounds_of
from paretomerge.types import Box, Simplex


def test_on_the_simplex_they_are_the_tasks_and_the_average():
    assert landmarks(Simplex(("a", "b", "c"))).round(12).tolist() == [
        *np.eye(3).tolist(),
        [round(1 / 3, 12)] * 3,
    ]
    assert landmarks(Simplex(("a",))).tolist() == [[1.0]]


def test_in_a_box_they_are_moved_inside_and_include_the_base_and_the_upper_bounds():
    assert landmarks(Box(("a", "b"), -1.0, 0.8)).tolist() == [[0.8, 0], [0, 0.8], [0.5, 0.5], [0, 0]]
    points = landmarks(Box(("a", "b"), (0.1, -1.0), (2.0, 0.5)))
    assert points.tolist() == [[1.0, 0.0], [0.1, 0.5], [0.5, 0.5], [0.1, 0.0], [2.0, 0.0]]


def test_bounds_are_those_of_the_box_and_weights_lie_between_zero_and_one():
    lower, upper = bounds_of(Box(("a", "b"), -1.0, (2.0, 3.0)))
    assert (lower.tolist(), upper.tolist()) == ([-1.0, -1.0], [2.0, 3.0])
    lower, upper = bounds_of(Simplex(("a", "b")))
    assert (lower.tolist(), upper.tolist()) == ([0.0, 0.0], [1.0, 1.0])
