from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from paretomerge.errors import DataError
from paretomerge.surrogates import Quadratic, fit_surrogate, simplex_design
from paretomerge.types import Objective, simplex_grid


def held_out_r2(fitted, truth, tasks):
    queries = np.random.default_rng(99).dirichlet(np.ones(tasks), 300)
    expected = truth(queries)
    errors = fitted.predict(queries)[0] - expected
    return 1 - (errors**2).mean(0) / expected.var(0)


def design(tasks):
    """1.5 times as many weightings as coefficients."""
    return simplex_design(tasks, math.ceil(1.5 * tasks * (tasks + 1) / 2))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tasks", [1, 2, 3, 4, 5])
def test_a_sigmoid_quadratic_truth_is_recovered(random_quadratic, scores_at, tasks, seed):
    eta = random_quadratic(tasks, seed)
    weights = design(tasks) if tasks > 1 else np.ones((1, 1))
    fitted = fit_surrogate(
        scores_at(weights, expit(eta(weights)), bounds=(0.0, 1.0), direction="maximise"), Quadratic()
    )
    if tasks == 1:
        assert fitted.predict([[1.0]])[0] == pytest.approx(expit(eta(weights)), abs=1e-6)
    else:
        assert (held_out_r2(fitted, lambda queries: expit(eta(queries)), tasks) > 0.99).all()


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_with_the_identity_link_a_quadratic_truth_is_exact(random_quadratic, scores_at, tasks):
    eta = random_quadratic(tasks, 5)
    weights = design(tasks)
    fitted = fit_surrogate(scores_at(weights, eta(weights)), Quadratic(links="identity"))
    queries = simplex_grid(tasks, 7)
    mean, stdev = fitted.predict(queries)
    assert mean == pytest.approx(eta(queries), abs=1e-5)
    assert (stdev < 1e-4).all()
    assert (fitted.fit_quality > 0.999).all()


def test_noise_of_half_a_percent_costs_little(random_quadratic, scores_at):
    for seed in range(4):
        eta, rng = random_quadratic(3, seed), np.random.default_rng(seed)
        weights = simplex_design(3, 12)
        noisy = expit(eta(weights)) + 0.005 * rng.normal(size=(12, 3))
        fitted = fit_surrogate(scores_at(weights, noisy, 0.005, bounds=(0.0, 1.0)), Quadratic())
        assert (held_out_r2(fitted, lambda queries, eta=eta: expit(eta(queries)), 3) > 0.9).all()


@pytest.mark.parametrize(("tasks", "count", "noise"), [(2, 6, 0.01), (3, 12, 0.02)])
def test_ninety_percent_intervals_cover(random_quadratic, scores_at, tasks, count, noise):
    """Target 0.9 of the truths; budget: 30 problems × 30 weightings × T objectives."""
    covered = []
    for seed in range(30):
        eta, rng = random_quadratic(tasks, seed), np.random.default_rng(seed)
        weights = simplex_design(tasks, count)
        values = expit(eta(weights)) + noise * rng.normal(size=(count, tasks))
        fitted = fit_surrogate(scores_at(weights, values, noise, bounds=(0.0, 1.0)), Quadratic())
        queries = rng.dirichlet(np.ones(tasks), 30)
        mean, stdev = fitted.predict(queries)
        covered.append(np.abs(mean - expit(eta(queries))) < 1.645 * stdev)
    assert 0.8 < np.mean(covered) < 0.99


def test_too_few_scores_are_refused_unless_that_is_wanted(scores_at):
    weights = simplex_design(3, 5)
    scores = scores_at(weights, weights)
    with pytest.raises(
        DataError,
        match="a quadratic in 3 weights has 6 coefficients: it needs at least 6 scored weightings, got 5",
    ):
        fit_surrogate(scores, Quadratic())
    fitted = fit_surrogate(scores, Quadratic(allow_underdetermined=True))
    assert fitted.warnings[0] == "a: 5 scores determine 5 of 6 coefficients; the rest is the prior"
    assert len(fitted.warnings) == 3


def test_what_the_design_leaves_open_is_uncertain(scores_at):
    corners = simplex_design(2, 2)
    fitted = fit_surrogate(scores_at(corners, [[0.2, 0.8], [0.8, 0.2]]), Quadratic(allow_underdetermined=True))
    stdev = fitted.predict([[1.0, 0.0], [0.5, 0.5]])[1]
    assert (stdev[1] > 10 * stdev[0]).all()


def test_without_scores_there_is_only_the_prior(scores_at):
    scores = scores_at(np.zeros((0, 2)), np.zeros((0, 2)))
    fitted = fit_surrogate(scores, Quadratic(allow_underdetermined=True))
    assert fitted.predict([[0.5, 0.5]])[0].tolist() == [[0.0, 0.0]]


def test_features_are_the_weights_and_their_products():
    assert Quadratic().features(np.array([[0.2, 0.3, 0.5]]), ("a", "b", "c"), Objective("a"))[0] == pytest.approx(
        [0.2, 0.3, 0.5, 0.06, 0.1, 0.15]
    )


def test_predictions_respect_the_bounds(random_quadratic, scores_at):
    weights = design(3)
    steep = expit(5 * random_quadratic(3, 1)(weights))
    fitted = fit_surrogate(scores_at(weights, steep, bounds=(0.0, 1.0)), Quadratic())
    mean = fitted.predict(simplex_grid(3, 12))[0]
    assert (mean >= 0).all()
    assert (mean <= 1).all()


def test_an_unscored_corner_is_expected_near_the_mean_score(scores_at):
    two_corners = simplex_design(3, 2)
    scores = scores_at(two_corners, [[0.5, 0.5, 0.5], [0.7, 0.7, 0.7]])
    fitted = fit_surrogate(scores, Quadratic(allow_underdetermined=True))
    assert fitted.predict([[0.0, 0.0, 1.0]])[0] == pytest.approx(0.6, abs=1e-6)
