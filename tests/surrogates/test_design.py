from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretomerge.errors import DataError
from paretomerge.surrogates import initial_design, simplex_design
from paretomerge.types import Box, Simplex, grouped_box


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


def names(count):
    return tuple("abcdefgh"[:count])


@settings(max_examples=30)
@given(
    size=st.integers(1, 6),
    count=st.integers(0, 40),
    more=st.integers(0, 60),
    lower=st.sampled_from([-0.5, 0.0, 0.2]),
    simplex=st.booleans(),
    seed=st.integers(0, 9),
)
def test_initial_designs_are_prefixes_of_larger_ones_and_lie_in_the_domain(size, count, more, lower, simplex, seed):
    domain = Simplex(names(size)) if simplex else Box(names(size), lower, 1.3)
    design = initial_design(domain, count + more, seed)
    assert np.array_equal(initial_design(domain, count, seed), design[:count])
    if size > 1 or not simplex:
        assert design.shape == (count + more, size)
        assert len(np.unique(design, axis=0)) == len(design)
    if len(design):
        assert domain.checked(design) == pytest.approx(design)


def test_a_box_starts_with_the_base_the_finetunes_and_their_average():
    design = initial_design(Box(("a", "b", "c"), -0.5, 1.5), 12, seed=3)
    assert design[0].tolist() == [0.0, 0.0, 0.0]
    assert np.array_equal(design[1:4], np.eye(3))
    assert design[4] == pytest.approx(np.full(3, 1 / 3))
    assert np.array_equal(design[5:], Box(("a", "b", "c"), -0.5, 1.5).spread(7, 3))


def test_the_finetunes_of_a_grouped_box_have_all_their_groups():
    design = initial_design(grouped_box(("a", "b"), ("x:1", "y")), 4)
    assert design.tolist() == [[0.0] * 4, [1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [0.5] * 4]
    assert np.array_equal(initial_design(Box(("x:a", "y:a", "y:b")), 4)[1:], np.eye(3))
    assert np.array_equal(initial_design(Box(("a", "x:b")), 3)[1:], np.eye(2))


def test_known_models_outside_the_box_are_moved_into_it_and_not_repeated():
    design = initial_design(Box(("a", "b"), 0.1, 0.4), 3)
    assert design.tolist() == [[0.4, 0.1], [0.1, 0.4], [0.4, 0.4]]
    assert initial_design(Box(("a",)), 2).tolist() == [[0.0], [1.0]]


def test_the_seed_only_scrambles():
    one, other = (initial_design(Box(("a", "b")), 9, seed) for seed in (0, 1))
    assert np.array_equal(one[:4], other[:4])
    assert not np.isclose(one[4:], other[4:]).any()


def test_the_simplex_has_its_own_design():
    assert np.array_equal(initial_design(Simplex(("a", "b", "c")), 17), simplex_design(3, 17))


@pytest.mark.parametrize("domain", [Box(("a", "b")), Simplex(("a", "b"))])
def test_a_negative_initial_design_is_refused(domain):
    with pytest.raises(DataError, match="a design needs a number of points >= 0, got -2"):
        initial_design(domain, -2)
