from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.diagnoses import agreement_of, predictions_disagree
from paretomerge.types import Objective, Scores, simplex_grid

POINTS = simplex_grid(2, 7)
TRUE = np.stack([POINTS[:, 1] ** 2, POINTS[:, 0] ** 2], axis=1)
"""Losses of two tasks that a quadratic in the weights says exactly."""


def _scores(values: np.ndarray, stderr: float = 1e-3, metric: str = "loss") -> Scores:
    objectives = tuple(Objective(f"{metric}[{task}]", task=task, metric=metric) for task in "ab")
    return Scores(("a", "b"), POINTS, values, np.full_like(values, stderr), objectives, ("merged",) * len(values))


def test_slope_correlation_and_level_are_those_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    q, y = rng.normal(size=30), rng.normal(size=30)
    found = agreement_of(q, y)
    assert found.slope == pytest.approx(np.polyfit(q, y, 1)[0])
    assert found.correlation == pytest.approx(np.corrcoef(q, y)[0, 1])
    assert found.level == pytest.approx(y.mean() - q.mean())


def test_what_does_not_vary_has_no_slope() -> None:
    assert np.isnan(agreement_of(np.ones(5), np.arange(5.0)).slope)
    assert np.isnan(agreement_of(np.arange(5.0), np.ones(5)).correlation)


def test_true_predictions_at_another_level_are_silent() -> None:
    """Losses on unseen examples are higher than on those that curvature was measured on: no sign of failure."""
    assert predictions_disagree(_scores(TRUE + 0.5), TRUE, ("a", "b")) == ()


def test_a_posterior_that_is_too_flat_is_told_to_measure_where_merges_land() -> None:
    found = predictions_disagree(_scores(TRUE), TRUE / 10, ("a", "b"))
    assert [each.tasks for each in found] == [("a",), ("b",)]
    assert all(each.severity == "warning" and each.signature == "disagreement" for each in found)
    assert all("differ 10 times as much as predicted" in each.message for each in found)
    assert all("location: centred" in each.remedy for each in found)


def test_a_posterior_that_is_too_steep_is_told_to_take_other_examples() -> None:
    found = predictions_disagree(_scores(TRUE), TRUE * [1.0, 10.0], ("a", "b"))
    assert [each.tasks for each in found] == [("b",)]
    assert "too steep" in found[0].message
    assert "posterior.split: validation" in found[0].remedy


def test_predictions_in_another_order_ask_for_a_more_flexible_posterior() -> None:
    found = predictions_disagree(_scores(TRUE), TRUE[:, ::-1], ("a", "b"))
    assert ["do not follow" in each.message for each in found] == [True, True]
    assert all(each.evidence["correlation"] < 0.8 and "more flexible" in each.remedy for each in found)


def test_columns_are_found_by_task() -> None:
    """Predictions come in the order of the tasks, scores in that of the objectives."""
    found = predictions_disagree(_scores(TRUE), (TRUE / [10, 1])[:, ::-1], ("b", "a"))
    assert [each.tasks for each in found] == [("a",)]


def test_noise_is_not_held_against_a_posterior() -> None:
    rng = np.random.default_rng(1)
    noisy = TRUE + rng.normal(size=TRUE.shape)
    assert predictions_disagree(_scores(noisy, stderr=1.0), TRUE[::-1], ("a", "b")) == ()
    assert len(predictions_disagree(_scores(noisy, stderr=1e-3), TRUE[::-1], ("a", "b"))) == 2


def test_only_losses_are_held_against_predicted_losses() -> None:
    assert predictions_disagree(_scores(TRUE, metric="accuracy"), TRUE / 10, ("a", "b")) == ()


def test_few_scores_say_nothing() -> None:
    few = _scores(TRUE).take([0, 3, 6])
    assert predictions_disagree(few, TRUE[[0, 3, 6]] / 10, ("a", "b")) == ()
    assert predictions_disagree(few.take([]), TRUE[:0], ("a", "b")) == ()


@given(unit=st.floats(1e-4, 1e4), level=st.floats(-5, 5), scale=st.sampled_from([0.1, 0.7, 1.0, 1.5, 5.0]))
def test_units_and_levels_change_nothing(unit: float, level: float, scale: float) -> None:
    """Nats or bits: what is said is the same."""
    plain = predictions_disagree(_scores(TRUE, 1e-3), TRUE * scale, ("a", "b"))
    other = predictions_disagree(_scores(TRUE * unit + level, 1e-3 * unit), TRUE * scale * unit, ("a", "b"))
    assert [each.tasks for each in plain] == [each.tasks for each in other]
    assert bool(plain) == (scale in (0.1, 5.0))
    for a, b in zip(plain, other, strict=True):
        assert b.evidence["slope"] == pytest.approx(a.evidence["slope"], rel=1e-5)
