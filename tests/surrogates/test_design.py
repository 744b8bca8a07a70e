from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretomerge.errors import DataError
from paretomerge.surrogates import simplex_design


@settings(max_examples=30)
@given(tasks=st.integers(2, 6), count=st.integers(0, 40), more=st.integers(0, 60))
def test_a_larger_design_extends_a_smaller_one(tasks, count, more):
    assert np.array_equal(simplex_design(tasks, count), simplex_design(tasks, count + more)[:count])


@settings(max_examples=30)
@given(tasks=st.integers(2, 8), count=st.integers(1, 90))
def test_points_are_distinct_and_on_the_simplex(tasks, count):
    design = simplex_design(tasks, count)
    assert design.shape == (count, tasks)
    assert (design >= 0).all()
    assert design.sum(1) == pytest.approx(1.0)
    assert len(np.unique(np.round(design, 9), axis=0)) == count


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_corners_come_first_then_the_centre_then_midpoints(tasks):
    design = simplex_design(tasks, tasks + 2)
    assert np.array_equal(design[:tasks], np.eye(tasks))
    assert design[tasks] == pytest.approx(np.full(tasks, 1 / tasks))
    if tasks > 2:
        assert sorted(design[tasks + 1]) == pytest.approx([0.0] * (tasks - 2) + [0.5, 0.5])


def test_every_further_point_fills_a_gap():
    """The distance of each new point to those before it never grows while the grid stays the same."""
    design = simplex_design(3, 15)
    gaps = [np.linalg.norm(design[:k] - design[k], axis=1).min() for k in range(4, 15)]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(gaps))


def test_the_design_goes_on_where_a_grid_is_full():
    assert simplex_design(2, 200).shape == (200, 2)
    assert sorted(simplex_design(2, 9)[:, 0]) == [i / 8 for i in range(9)]


def test_one_task_has_one_weighting_and_very_many_tasks_are_fine():
    assert simplex_design(1, 7).tolist() == [[1.0]]
    assert simplex_design(1, 0).shape == (0, 1)
    assert simplex_design(40, 45).shape == (45, 40)


def test_a_negative_number_of_points_is_refused():
    with pytest.raises(DataError, match="a design needs a number of weightings >= 0, got -1"):
        simplex_design(2, -1)
