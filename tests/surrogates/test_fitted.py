from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from paretomerge.errors import DataError, WeightsError
from paretomerge.surrogates import PosteriorInformed, Quadratic, fit_surrogate, simplex_design
from paretomerge.types import Box, Objective, Scores, simplex_grid


@pytest.fixture
def fitted(random_quadratic, scores_at):
    weights = simplex_design(2, 6)
    return fit_surrogate(scores_at(weights, random_quadratic(2, 0)(weights)), Quadratic())


@pytest.fixture
def uncertain():
    """Two objectives in a box, one bounded, from seven noisy scores, with every part of the model at work."""
    box, rng = Box(("a", "b"), (-1.0, 0.0), (1.0, 2.0)), np.random.default_rng(0)
    points = box.spread(7)
    values = np.stack([points[:, 0] ** 2 + np.sin(2 * points[:, 1]), expit(2 * points[:, 0] + points[:, 1])], 1)
    objectives = (Objective("a", metric="loss"), Objective("b", "maximise", bounds=(0.0, 1.0)))
    scores = Scores(
        box.names, points, values + 0.03 * rng.standard_normal((7, 2)), 0.03 + 0 * values, objectives, "merged"
    )
    return fit_surrogate(scores, PosteriorInformed(lambda x: x**2, ("a", "b")), box)


def test_predictions_are_scores_of_origin_predicted(fitted):
    scores = fitted.predict_scores([[0.5, 0.5], [1.0, 0.0]])
    mean, stdev = fitted.predict([[0.5, 0.5], [1.0, 0.0]])
    assert scores.origin == ("predicted", "predicted")
    assert np.array_equal(scores.values, mean)
    assert np.array_equal(scores.stderr, stdev)


def test_queries_are_checked_and_put_in_task_order(fitted):
    assert np.array_equal(fitted.predict({"b": 0.7, "a": 0.3})[0], fitted.predict([[0.3, 0.7]])[0])
    for ask in (fitted.predict, fitted.response, fitted.extrapolates, lambda w: fitted.sample(w, 2, None)):
        with pytest.raises(WeightsError, match=r"weights sum to 0\.9"):
            ask([[0.3, 0.6]])


def test_draws_have_predictions_as_their_median_and_the_standard_deviation_about_it(uncertain):
    """Budget: 20 000 draws, so that a standard error is 0.9 % of a standard deviation."""
    points = uncertain.domain.spread(12, seed=3)
    draws = uncertain.sample(points, 20_000, np.random.default_rng(0))
    centre, stdev = uncertain.predict(points)
    assert draws.shape == (20_000, 12, 2)
    assert (np.abs(np.median(draws, axis=0) - centre) < 0.05 * stdev + 2e-3).all()
    assert np.sqrt(np.mean((draws - centre) ** 2, axis=0)) == pytest.approx(stdev, rel=0.05)


def test_draws_are_joint_over_points_and_independent_over_objectives(uncertain):
    points = np.array([[0.5, 1.0], [0.501, 1.0], [-0.9, 0.1]])
    draws = uncertain.sample(points, 4000, np.random.default_rng(0))
    between = np.corrcoef(draws.reshape(4000, 6).T)
    assert between[0, 2] > 0.99
    assert between[0, 4] < 0.9
    assert np.abs(between[::2, 1::2]).max() < 0.1


def test_draws_respect_bounds_and_come_from_the_generator(uncertain):
    points = uncertain.domain.spread(30)
    draws = uncertain.sample(points, 50, np.random.default_rng(5))
    assert draws[..., 1].min() >= 0
    assert draws[..., 1].max() <= 1
    assert np.array_equal(draws, uncertain.sample(points, 50, np.random.default_rng(5)))
    assert not np.array_equal(draws, uncertain.sample(points, 50, np.random.default_rng(6)))


def test_more_points_than_fit_in_memory_are_not_drawn(uncertain):
    with pytest.raises(DataError, match="4001 points to draw jointly, at most 4000 are possible"):
        uncertain.sample(np.zeros((4001, 2)), 1, np.random.default_rng(0))


def test_a_draw_shifts_all_points_alike_by_what_no_quadratic_expresses(scores_at):
    weights = simplex_grid(2, 24)
    wavy = 0.2 * np.sin(20 * weights)
    fitted = fit_surrogate(scores_at(weights, wavy), Quadratic(links="identity"))
    stdev = fitted.predict(weights)[1]
    draws = fitted.sample(weights, 500, np.random.default_rng(0))
    assert draws.std(axis=0) == pytest.approx(stdev, rel=0.2)
    steps = np.diff(draws - fitted.predict(weights)[0], axis=1)
    # Independent levels would step by 1.1 standard deviations.
    assert np.abs(steps).mean() < 0.3 * stdev.min()


def test_the_response_says_how_predictions_move_with_scores(scores_at):
    """With the identity link and enough exact scores of a quadratic, raising all scores raises all predictions."""
    weights = simplex_design(3, 9)
    fitted = fit_surrogate(scores_at(weights, weights), Quadratic())
    queries = np.random.default_rng(0).dirichlet(np.ones(3), 5)
    response = fitted.response(queries)
    assert response.shape == (3, 5, 9)
    assert response.sum(axis=2) == pytest.approx(np.ones((3, 5)), abs=1e-3)
    assert response[0] @ weights == pytest.approx(queries, abs=1e-3)


def test_through_a_link_the_response_is_in_units_of_scores(uncertain):
    points = uncertain.domain.spread(5, seed=2)
    scores = uncertain.scores
    response = uncertain.response(points)[1]
    for n in range(7):
        moved = scores.values.copy()
        moved[n, 1] += 1e-3
        again = Scores(scores.tasks, scores.weights, moved, scores.stderr, scores.objectives, scores.origin)
        # The hyperparameters are chosen anew here, which is why this is no exact comparison.
        change = fit_surrogate(again, uncertain.surrogate, uncertain.domain).predict(points)[0]
        change = (change - uncertain.predict(points)[0])[:, 1] / 1e-3
        assert response[:, n] == pytest.approx(change, abs=0.25 * np.abs(response).max())


def test_far_from_the_scores_it_extrapolates(scores_at):
    weights = np.array([[1.0, 0.0], [0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    values = weights @ [[1.0, 0.0], [0.0, 1.0]] + 0.01 * np.random.default_rng(0).standard_normal((4, 2))
    fitted = fit_surrogate(scores_at(weights, values, 0.01), Quadratic())
    assert fitted.extrapolates([[0.85, 0.15], [0.0, 1.0]]).tolist() == [False, True]


def test_without_scores_everything_is_extrapolated(scores_at):
    fitted = fit_surrogate(scores_at(np.zeros((0, 2)), np.zeros((0, 2))), Quadratic(allow_underdetermined=True))
    assert fitted.extrapolates([[0.5, 0.5]]).tolist() == [True]


def test_leave_one_out_quality_is_one_for_a_fit_and_not_for_noise(fitted, scores_at):
    assert (fitted.fit_quality > 0.999).all()
    noise = np.random.default_rng(0).normal(size=(20, 2))
    weights = simplex_design(2, 20)
    assert (fit_surrogate(scores_at(weights, noise), Quadratic()).fit_quality < 0.3).all()


def test_asking_changes_nothing(uncertain):
    points = uncertain.domain.spread(4)
    kept = points.copy()
    before = uncertain.predict(points)
    uncertain.sample(points, 3, np.random.default_rng(0))
    uncertain.response(points)
    assert np.array_equal(points, kept)
    assert np.array_equal(uncertain.predict(points), before)
