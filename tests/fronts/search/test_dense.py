from __future__ import annotations

from math import comb

import numpy as np
import pytest

from paretomerge.fronts.search import dense_points, grid_divisions, is_dense
from paretomerge.fronts.search.dense import ROUND_DIVISIONS
from paretomerge.types import Box, Simplex, simplex_grid


@pytest.mark.parametrize("tasks", range(2, 21))
def test_the_grid_is_the_finest_of_round_weights_with_fewer_points_than_allowed(tasks):
    divisions = grid_divisions(tasks)
    assert comb(divisions + tasks - 1, tasks - 1) < 20_000
    finer = [d for d in ROUND_DIVISIONS if d > divisions]
    assert all(comb(d + tasks - 1, tasks - 1) >= 20_000 for d in finer)


def test_the_simplex_is_dense_up_to_five_tasks_and_a_box_never():
    assert [is_dense(Simplex(tuple("abcdefgh"[:tasks]))) for tasks in (1, 2, 5, 6)] == [True, True, True, False]
    assert not is_dense(Box(("a",)))


def test_the_simplex_gets_its_regular_grid():
    assert np.array_equal(dense_points(Simplex(("a", "b", "c")), most=67), simplex_grid(3, 10))
    assert dense_points(Simplex(("a",))).tolist() == [[1.0]]
    many = dense_points(Simplex(tuple("abcdefghijklmnopqrst")), most=10)
    assert np.array_equal(many, simplex_grid(20, 1))


def test_a_box_gets_levels_while_there_are_five_per_coordinate():
    points = dense_points(Box(("a", "b"), -1.0, (1.0, 3.0)), most=26)
    assert sorted(set(points[:, 0])) == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert sorted(set(points[:, 1])) == [-1.0, 0.0, 1.0, 2.0, 3.0]
    assert len(np.unique(points, axis=0)) == 25
    assert len(dense_points(Box(("a",)))) == 1001
    assert len(dense_points(Box(tuple("abcdef")))) == 5**6


def test_a_box_of_many_coordinates_gets_the_landmarks_and_a_sequence():
    box = Box(tuple("abcdefgh"), -0.5, 1.5)
    points = dense_points(box, seed=3, most=500)
    assert points.shape == (499, 8)
    assert points[:8].tolist() == np.eye(8).tolist()
    assert np.array_equal(points, box.checked(points))
    assert np.array_equal(points, dense_points(box, seed=3, most=500))
    assert not np.array_equal(points, dense_points(box, seed=4, most=500))
    inner = points[20:]
    assert np.abs(inner.mean(axis=0) - 0.5).max() < 0.03
