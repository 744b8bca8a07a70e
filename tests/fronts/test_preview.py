from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from paretomerge.errors import DataError, WeightsError
from paretomerge.fronts import (
    additive_epsilon,
    compare_preview,
    generational_distance,
    hypervolume_ratio,
    igd_plus,
    reference_point,
)
from paretomerge.types import Scores, simplex_grid


def circle(scores_of, shift=0.0, divisions=6, directions="--"):
    """Points of a convex quarter circle, one per weighting of two tasks."""
    weights = simplex_grid(2, divisions)
    angle = weights[:, 0] * math.pi / 2
    values = np.stack([1 - np.sin(angle), 1 - np.cos(angle)], axis=1) + shift
    return scores_of(values, directions, weights=weights)


@given(
    values=arrays(np.float64, (6, 2), elements=st.integers(-20, 20).map(float)),
    directions=st.sampled_from(["--", "-+"]),
)
def test_a_preview_of_itself_is_perfect(scores_of, values, directions):
    truth = scores_of(values, directions)
    quality = compare_preview(truth, truth)
    assert quality.hypervolume_ratio == 1.0
    assert quality.igd_plus == quality.generational_distance == quality.additive_epsilon == 0.0
    assert quality.preview_error == quality.bias == 0.0
    assert quality.weightings == 6
    constant = [name for name, column in zip("ab", values.T, strict=True) if np.ptp(column) == 0]
    assert list(quality.constant_objectives) == constant
    assert math.isnan(quality.rank_correlation) if len(constant) == 2 else quality.rank_correlation > 1 - 1e-12


def test_a_constant_shift_is_all_bias_and_keeps_the_ranks(scores_of):
    truth, preview = circle(scores_of), circle(scores_of, np.array([0.25, -0.125]))
    quality = compare_preview(preview, truth)
    assert quality.preview_error_by_objective == pytest.approx({"a": 0.25, "b": 0.125}, abs=1e-15)
    assert quality.bias_by_objective == pytest.approx({"a": 0.25, "b": -0.125}, abs=1e-15)
    assert quality.preview_error == pytest.approx(0.1875, abs=1e-15)
    assert quality.bias == pytest.approx(0.0625, abs=1e-15)
    assert quality.rank_correlation == pytest.approx(1.0, abs=1e-15)


def test_the_front_measures_are_the_public_ones_with_one_reference_point(scores_of):
    truth, preview = circle(scores_of), circle(scores_of, 0.1)
    quality = compare_preview(preview, truth)
    corner = reference_point(preview, truth)
    assert list(quality.reference.values()) == corner.tolist()
    assert quality.hypervolume_ratio == hypervolume_ratio(preview, truth, reference=corner)
    assert 0 < quality.hypervolume_ratio < 1
    assert quality.igd_plus == igd_plus(preview, truth)
    assert quality.generational_distance == generational_distance(preview, truth)
    assert quality.additive_epsilon == additive_epsilon(preview, truth)
    fixed = compare_preview(preview, truth, reference=[3, 4], normalise=True)
    assert fixed.reference == {"a": 3.0, "b": 4.0}
    assert fixed.hypervolume_ratio == hypervolume_ratio(preview, truth, reference=[3, 4])
    assert fixed.normalised
    assert fixed.igd_plus == igd_plus(preview, truth, normalise=True)


def test_a_preview_that_is_too_good_has_a_ratio_above_one(scores_of):
    assert compare_preview(circle(scores_of, -0.1), circle(scores_of)).hypervolume_ratio > 1


def test_weightings_are_matched_in_any_order_of_rows_and_tasks(scores_of):
    truth = circle(scores_of)
    shuffled = truth.take([3, 1, 6, 0, 5, 2, 4])
    turned = Scores(
        ("y", "x"),
        shuffled.weights[:, ::-1] + 1e-9,
        shuffled.values,
        shuffled.stderr,
        truth.objectives,
        shuffled.origin,
    )
    assert compare_preview(turned, truth).preview_error == 0.0


def test_the_rank_correlation_is_spearmans_averaged_over_objectives(scores_of):
    rng = np.random.default_rng(3)
    ours, truth = rng.integers(0, 4, size=(2, 9, 3)).astype(float)
    quality = compare_preview(scores_of(ours), scores_of(truth))
    expected = [spearmanr(ours[:, m], truth[:, m]).statistic for m in range(3)]
    assert list(quality.rank_correlation_by_objective.values()) == pytest.approx(expected, abs=1e-14)
    assert quality.rank_correlation == pytest.approx(np.mean(expected), abs=1e-14)


@pytest.mark.filterwarnings("error")
def test_a_constant_objective_is_named_and_left_out(scores_of):
    truth = scores_of([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]])
    preview = scores_of([[3.0, 4.0], [2.0, 4.0], [1.0, 4.0]])
    quality = compare_preview(preview, truth)
    assert quality.constant_objectives == ("b",)
    assert quality.rank_correlation == pytest.approx(-1.0, abs=1e-15)
    assert list(quality.rank_correlation_by_objective) == ["a"]


def test_one_weighting_has_no_rank_correlation_and_json_says_null(scores_of):
    one = scores_of([[1.0, 2.0]])
    quality = compare_preview(one, one)
    assert math.isnan(quality.rank_correlation)
    plain = json.loads(json.dumps(quality.as_dict(), allow_nan=False))
    assert plain["rank_correlation"] is None
    assert plain["constant_objectives"] == ["a", "b"]
    assert plain["hypervolume_ratio"] == 1.0


def test_a_metric_selects_the_objectives(scores_of):
    truth = circle(scores_of)
    assert compare_preview(truth, truth, "loss").preview_error == 0.0
    with pytest.raises(DataError, match="no objective has the metric 'accuracy'"):
        compare_preview(truth, truth, "accuracy")


def test_other_weightings_tasks_or_objectives_are_refused(scores_of):
    truth = circle(scores_of)
    with pytest.raises(DataError, match=r"the preview has no score at 2 of the other's 7 weightings, such as x=0, y=1"):
        compare_preview(truth.take([2, 3, 4, 5, 6]), truth)
    with pytest.raises(DataError, match=r"the truth has no score at 1 of the other's 7 weightings, such as x=1, y=0"):
        compare_preview(truth, truth.take(range(6)))
    with pytest.raises(DataError, match="the preview has several scores at x=0, y=1: average"):
        compare_preview(truth.take([0, 0, 1]), truth)
    with pytest.raises(DataError, match="the truth has no scores"):
        compare_preview(truth, truth.take(np.zeros(0, dtype=int)))
    with pytest.raises(DataError, match="the preview has the objectives a minimise, b maximise"):
        compare_preview(circle(scores_of, directions="-+"), truth)
    other = Scores(("x", "z"), truth.weights, truth.values, truth.stderr, truth.objectives, truth.origin)
    with pytest.raises(WeightsError, match="unknown task 'z'"):
        compare_preview(other, truth)
    with pytest.raises(DataError, match="reference point has shape"):
        compare_preview(truth, truth, reference=[1.0])
