from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paretomerge.errors import DataError
from paretomerge.fronts import (
    additive_epsilon,
    front_from_scores,
    generational_distance,
    hypervolume,
    hypervolume_ratio,
    igd_plus,
)
from paretomerge.types import Objective

MEASURES = [igd_plus, generational_distance, additive_epsilon, hypervolume_ratio]


@st.composite
def two_sets(draw):
    """An approximation, a truth and a sign per objective; values that are exact in binary."""
    width = draw(st.integers(1, 4))
    element = st.integers(-64, 64).map(lambda i: i / 8)
    sets = [draw(arrays(np.float64, (draw(st.integers(1, 6)), width), elements=element)) for _ in range(2)]
    return *sets, np.array(draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=width, max_size=width)))


def objectives_of(signs):
    return [Objective(str(m), "minimise" if sign > 0 else "maximise") for m, sign in enumerate(signs)]


def naive_igd_plus(ours, truth):
    return np.mean([min(np.linalg.norm(np.maximum(a - r, 0.0)) for a in ours) for r in truth])


def naive_gd(ours, truth):
    return np.mean([min(np.linalg.norm(a - r) for r in truth) for a in ours])


def naive_epsilon(ours, truth):
    return max(min((a - r).max() for a in ours) for r in truth)


@pytest.mark.parametrize(
    ("measure", "naive"),
    [(igd_plus, naive_igd_plus), (generational_distance, naive_gd), (additive_epsilon, naive_epsilon)],
)
@given(sets=two_sets())
def test_each_distance_is_its_definition_in_every_direction(measure, naive, sets):
    ours, truth, signs = sets
    expected = pytest.approx(naive(ours, truth), rel=1e-13, abs=1e-14)
    assert measure(ours, truth) == expected
    assert measure(ours * signs, truth * signs, objectives_of(signs)) == expected


@given(sets=two_sets())
def test_the_ratio_is_of_two_hypervolumes_up_to_one_reference_point(sets):
    ours, truth, signs = sets
    corner = np.full(ours.shape[1], 9.0)
    expected = pytest.approx(hypervolume(ours, corner) / hypervolume(truth, corner), rel=1e-13)
    assert hypervolume_ratio(ours, truth, reference=corner) == expected
    turned = hypervolume_ratio(ours * signs, truth * signs, objectives_of(signs), reference=corner * signs)
    assert turned == expected


def test_the_default_reference_point_is_the_worst_of_both_sets():
    ours, truth = [[0.0, 2.0]], [[0.0, 0.0]]
    assert hypervolume_ratio(ours, truth) == pytest.approx((0.1 * 0.2) / (0.1 * 2.2), rel=1e-12)


@given(sets=two_sets())
def test_a_set_compared_with_itself_is_perfect(sets):
    _, truth, _ = sets
    assert igd_plus(truth, truth) == 0.0
    assert generational_distance(truth, truth) == 0.0
    assert additive_epsilon(truth, truth) == 0.0
    assert hypervolume_ratio(truth, truth) == 1.0


def test_igd_plus_forgives_what_is_better_and_the_generational_distance_does_not():
    truth = [[1.0, 1.0]]
    better = [[0.0, 1.0]]
    assert igd_plus(better, truth) == 0.0
    assert generational_distance(better, truth) == 1.0
    assert additive_epsilon([[0.5, 0.25]], truth) == -0.5


@pytest.mark.parametrize("measure", [igd_plus, generational_distance, additive_epsilon])
def test_normalised_distances_do_not_depend_on_the_units(measure):
    rng = np.random.default_rng(0)
    ours, truth = rng.normal(size=(5, 3)), rng.normal(size=(7, 3))
    units = np.array([1e-3, 1.0, 1e3])
    wanted = measure(ours, truth, normalise=True)
    assert measure(ours * units, truth * units, normalise=True) == pytest.approx(wanted, rel=1e-12)
    scaled = (ours - truth.min(axis=0)) / np.ptp(truth, axis=0)
    scaled_truth = (truth - truth.min(axis=0)) / np.ptp(truth, axis=0)
    assert wanted == pytest.approx(measure(scaled, scaled_truth), rel=1e-12)
    assert measure(ours * units, truth * units) != pytest.approx(wanted, rel=0.1)


def test_scores_and_fronts_bring_their_directions_to_an_array(scores_of):
    truth = scores_of([[0.5, 0.5]], "++")
    assert igd_plus([[0.25, 0.5]], truth) == 0.25
    assert igd_plus(truth, [[0.75, 0.5]]) == 0.25
    assert igd_plus(front_from_scores(truth), truth) == 0.0
    ratio = hypervolume_ratio([[0.25, 0.5]], truth, reference=[0.0, 0.0])
    assert ratio == 0.5


@pytest.mark.parametrize("measure", MEASURES)
def test_sets_that_cannot_be_compared_are_refused(measure, scores_of):
    with pytest.raises(DataError, match="the truth: there are no points"):
        measure([[1.0]], np.zeros((0, 1)))
    with pytest.raises(DataError, match="has 1 objectives and the truth 2"):
        measure([[1.0]], [[1.0, 2.0]])
    with pytest.raises(DataError, match="the approximation contain nan"):
        measure([[np.nan]], [[1.0]])
    with pytest.raises(DataError, match="carry the objectives"):
        measure(scores_of([[1.0, 1.0]], "-+"), scores_of([[1.0, 1.0]], "--"))


def test_a_reference_point_inside_the_true_front_is_refused():
    with pytest.raises(DataError, match="worse reference point"):
        hypervolume_ratio([[0.0, 0.0]], [[1.0, 1.0]], reference=[0.5, 2.0])
