from __future__ import annotations

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretomerge.errors import DataError
from paretomerge.fronts.proposals import undominated_boxes


def added(points: np.ndarray, candidate: np.ndarray, reference: np.ndarray) -> float:
    """The naive twin: two exact hypervolumes."""
    before = moocore.hypervolume(points, ref=reference) if len(points) else 0.0
    return moocore.hypervolume(np.vstack([points, candidate]), ref=reference) - before


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**31), objectives=st.integers(1, 5), count=st.integers(0, 11), tied=st.booleans())
def test_improvements_are_differences_of_hypervolumes(seed, objectives, count, tied):
    rng = np.random.default_rng(seed)
    if tied:
        points, candidates = rng.integers(0, 6, (2, count, objectives)), rng.integers(-1, 7, (2, 5, objectives))
        points, candidates, reference = points.astype(float), candidates.astype(float), np.full(objectives, 4.0)
    else:
        points, candidates = rng.random((2, count, objectives)), rng.uniform(-0.1, 1.1, (2, 5, objectives))
        reference = rng.uniform(0.7, 1.2, objectives)
    found = undominated_boxes(points, reference).improvements(candidates)
    expected = [[added(points[s], y, reference) for y in candidates[s]] for s in range(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_the_boxes_are_disjoint_and_leave_out_exactly_what_is_dominated():
    rng = np.random.default_rng(0)
    points, reference = rng.random((3, 12, 3)), np.ones(3)
    boxes = undominated_boxes(points, reference)
    places = rng.random((400, 3))
    for number in range(3):
        own = boxes.owner == number
        inside = (boxes.lower[own] <= places[:, None]).all(axis=2) & (places[:, None] < boxes.upper[own]).all(axis=2)
        dominated = (points[number] <= places[:, None]).all(axis=2).any(axis=1)
        np.testing.assert_array_equal(inside.sum(axis=1), np.where(dominated, 0, 1))


def test_a_set_without_points_is_one_box_below_the_reference():
    boxes = undominated_boxes(np.zeros((2, 0, 3)), np.array([1.0, 2.0, 3.0]))
    assert boxes.upper.tolist() == [[1.0, 2.0, 3.0]] * 2
    assert boxes.improvements(np.zeros((2, 1, 3))).tolist() == [[6.0], [6.0]]


def test_points_that_are_infinite_change_nothing():
    points = np.array([[[0.5, 0.5], [np.inf, np.inf]]])
    boxes = undominated_boxes(points, np.ones(2))
    assert boxes.improvements(np.array([[[0.0, 0.0], [np.inf, np.inf]]])).tolist() == [[0.75, 0.0]]


def test_sets_of_one_call_do_not_see_each_other():
    rng = np.random.default_rng(1)
    points, candidates, reference = rng.random((4, 6, 4)), rng.random((4, 7, 4)), np.ones(4)
    together = undominated_boxes(points, reference).improvements(candidates)
    for number in range(4):
        alone = undominated_boxes(points[[number]], reference).improvements(candidates[[number]])
        np.testing.assert_allclose(together[number], alone[0], rtol=1e-13)


def test_many_candidates_are_worked_through_in_parts(monkeypatch):
    rng = np.random.default_rng(2)
    boxes = undominated_boxes(rng.random((2, 9, 3)), np.ones(3))
    candidates = rng.random((2, 25, 3))
    whole = boxes.improvements(candidates)
    monkeypatch.setattr("paretomerge.fronts.proposals.improvement._CHUNK", 40)
    np.testing.assert_array_equal(boxes.improvements(candidates), whole)


def test_nothing_given_is_changed():
    points, reference = np.random.default_rng(3).random((2, 5, 3)), np.ones(3)
    before = points.copy()
    undominated_boxes(points, reference).improvements(points)
    np.testing.assert_array_equal(points, before)


@pytest.mark.parametrize(
    ("points", "reference", "message"),
    [
        (np.zeros((3, 2)), np.ones(2), r"shape \[3, 2\]"),
        (np.zeros((1, 3, 2)), np.ones(3), r"reference \[3\]"),
        (np.full((1, 1, 2), np.nan), np.ones(2), "without NaN"),
        (np.zeros((1, 3, 2)), np.array([1.0, np.inf]), "NaN or infinity"),
    ],
)
def test_broken_input_is_refused(points, reference, message):
    with pytest.raises(DataError, match=message):
        undominated_boxes(points, reference)
