from __future__ import annotations

import numpy as np
import pytest

from paretomerge.errors import DataError, WeightsError
from paretomerge.surrogates import Quadratic, fit_surrogate, simplex_design
from paretomerge.surrogates.base import require_scores


@pytest.fixture
def fitted(random_quadratic, scores_at):
    weights = simplex_design(2, 6)
    return fit_surrogate(scores_at(weights, random_quadratic(2, 0)(weights)), Quadratic())


def test_predictions_are_scores_of_origin_predicted(fitted):
    scores = fitted.predict_scores([[0.5, 0.5], [1.0, 0.0]])
    mean, stdev = fitted.predict([[0.5, 0.5], [1.0, 0.0]])
    assert scores.origin == ("predicted", "predicted")
    assert np.array_equal(scores.values, mean)
    assert np.array_equal(scores.stderr, stdev)


def test_queries_are_checked_and_put_in_task_order(fitted):
    assert np.array_equal(fitted.predict({"b": 0.7, "a": 0.3})[0], fitted.predict([[0.3, 0.7]])[0])
    with pytest.raises(WeightsError, match=r"weights sum to 0\.9"):
        fitted.predict([[0.3, 0.6]])


def test_leave_one_out_quality_is_one_for_a_fit_and_not_for_noise(fitted, scores_at):
    assert (fitted.fit_quality > 0.999).all()
    noise = np.random.default_rng(0).normal(size=(20, 2))
    weights = simplex_design(2, 20)
    assert (fit_surrogate(scores_at(weights, noise), Quadratic()).fit_quality < 0.3).all()


def test_quality_is_unknown_where_it_cannot_be_computed(scores_at):
    two = scores_at(simplex_design(2, 2), [[0.1, 0.2], [0.3, 0.4]])
    assert np.isnan(fit_surrogate(two, Quadratic(allow_underdetermined=True)).fit_quality).all()
    constant = scores_at(simplex_design(2, 5), np.ones((5, 2)))
    assert np.isnan(fit_surrogate(constant, Quadratic()).fit_quality).all()


def test_leave_one_out_leaves_out(scores_at):
    """By hand: with T = 1 every score is predicted by (nearly) the mean of the others."""
    values = np.array([[1.0], [2.0], [4.0]])
    found = fit_surrogate(scores_at(np.ones((3, 1)), values), Quadratic()).fit_quality[0]
    errors = [1.0 - 3.0, 2.0 - 2.5, 4.0 - 1.5]
    assert found == pytest.approx(1 - np.mean(np.square(errors)) / np.var(values), abs=0.05)


def test_repeated_weightings_do_not_determine_more(scores_at):
    weights = np.repeat(simplex_design(2, 2), 3, axis=0)
    fitted = fit_surrogate(scores_at(weights, weights), Quadratic())
    assert fitted.warnings[0].startswith("a: 6 scores determine 2 of 3 coefficients")


def test_too_few_scores_are_refused(scores_at):
    scores = scores_at(simplex_design(2, 2), np.zeros((2, 2)))
    require_scores(scores, 2, "it")
    with pytest.raises(DataError, match="it needs at least 3 scored weightings, got 2: evaluate more"):
        require_scores(scores, 3, "it")


def test_predictions_that_are_worse_than_the_mean_are_warned_about(scores_at):
    weights = simplex_design(2, 12)
    values = np.stack([weights[:, 0], np.random.default_rng(0).normal(size=12)], axis=1)
    fitted = fit_surrogate(scores_at(weights, values), Quadratic())
    assert fitted.fit_quality[0] > 0.9
    assert fitted.fit_quality[1] < 0
    (warning,) = fitted.warnings
    assert warning.startswith("b: each of 12 scores is predicted from the others worse than by their mean")
