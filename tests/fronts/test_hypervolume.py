from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paretomerge.errors import DataError
from paretomerge.fronts import front_from_scores, hypervolume, reference_point
from paretomerge.types import Objective

# Integer coordinates: the oracle counts unit cells, and every sum is exact in float64.
SIDE = 6


@st.composite
def integer_points(draw):
    shape = (draw(st.integers(1, 8)), draw(st.integers(1, 4)))
    return draw(arrays(np.float64, shape, elements=st.integers(0, SIDE + 2).map(float)))


def cells(points: np.ndarray, side: int) -> float:
    """The number of unit cells of `[0, side]^M` whose lower corner some point is below or at."""
    corners = product(range(side), repeat=points.shape[1])
    return float(sum(bool((points <= np.array(corner)).all(axis=1).any()) for corner in corners))


def sweep(points: np.ndarray, reference: np.ndarray) -> float:
    """Two objectives: sort by the first, add one rectangle per step down in the second."""
    total, height = 0.0, reference[1]
    for x, y in points[np.lexsort((points[:, 1], points[:, 0]))]:
        if x < reference[0] and y < height:
            total += (reference[0] - x) * (height - y)
            height = y
    return total


@given(points=integer_points())
def test_it_counts_the_dominated_cells_of_a_grid(points):
    assert hypervolume(points, np.full(points.shape[1], float(SIDE))) == cells(points, SIDE)


@given(points=arrays(np.float64, (9, 2), elements=st.floats(-2, 2)))
def test_it_is_the_sweep_in_two_objectives(points):
    reference = np.array([1.0, 1.5])
    assert hypervolume(points, reference) == pytest.approx(sweep(points, reference), rel=1e-13, abs=1e-13)


def test_points_beyond_the_reference_add_nothing():
    assert hypervolume([[0.5, 0.5], [0.0, 1.0], [2.0, -5.0]], [1, 1]) == 0.25
    assert hypervolume([[1.0, 1.0]], [1, 1]) == 0.0
    assert hypervolume(np.zeros((0, 2)), [1, 1]) == 0.0


def test_maximised_objectives_have_the_reference_below(scores_of):
    both = [Objective("a", "maximise"), Objective("b")]
    assert hypervolume([[0.75, 0.5]], [0.25, 1.0], both) == 0.25
    assert hypervolume(scores_of([[0.75, 0.5]], "+-"), [0.25, 1.0]) == 0.25


def test_a_front_brings_its_own_reference(scores_of):
    front = front_from_scores(scores_of([[0.0, 1.0], [1.0, 0.0]]), reference=[2, 2])
    assert hypervolume(front) == 3.0
    assert hypervolume(front, [1.5, 1.5]) == 1.25


def test_without_a_reference_it_is_the_worst_plus_ten_per_cent():
    assert hypervolume([[0.0, 1.0], [1.0, 0.0]]) == pytest.approx(1.1**2 - 1.0, rel=1e-14)


def test_the_reference_point_is_the_worst_of_all_sets_plus_ten_per_cent_of_the_common_range(scores_of):
    one, two = scores_of([[0.0, 0.9]], "-+"), scores_of([[1.0, 0.4], [3.0, 0.5]], "-+")
    expected = [3.0 + 0.1 * 3.0, 0.4 - 0.1 * 0.5]
    assert reference_point(one, two).tolist() == pytest.approx(expected, abs=1e-15)
    assert reference_point(front_from_scores(one), two).tolist() == pytest.approx(expected, abs=1e-15)
    assert reference_point(one, two, margin=0.0).tolist() == [3.0, 0.4]


def test_a_constant_objective_gets_ten_per_cent_of_its_size_or_a_tenth(scores_of):
    scores = scores_of([[5.0, -2.0, 0.0, 5.0]], "---+")
    assert reference_point(scores).tolist() == pytest.approx([5.5, -1.8, 0.1, 4.5], abs=1e-15)


def test_every_point_is_strictly_inside_the_reference_point(scores_of):
    scores = scores_of([[1.0, 2.0], [1.0, 7.0]], "-+")
    assert hypervolume(scores) > 0


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ([1.0], "shape \\[1\\], expected \\[2\\]"),
        ([1.0, np.nan], "NaN or infinity"),
        (["a", 1], "must be numbers"),
    ],
)
def test_a_broken_reference_point_is_refused(reference, message):
    with pytest.raises(DataError, match=message):
        hypervolume([[0.0, 0.0]], reference)


def test_what_cannot_be_compared_has_no_reference_point(scores_of):
    with pytest.raises(DataError, match="at least one set"):
        reference_point()
    with pytest.raises(DataError, match="different objectives"):
        reference_point(scores_of([[1.0, 2.0]], "-+"), scores_of([[1.0, 2.0]], "--"))
    with pytest.raises(DataError, match="margin is -1"):
        reference_point(scores_of([[1.0, 2.0]]), margin=-1)
    with pytest.raises(DataError, match="there are no points"):
        reference_point(scores_of([[1.0, 2.0]]).take(np.zeros(0, dtype=int)))
    with pytest.raises(DataError, match="there are no points"):
        hypervolume(np.zeros((0, 2)))
