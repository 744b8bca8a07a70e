from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from paretomerge.surrogates.links import sigmoid_link, softplus_link
from paretomerge.surrogates.prediction import joint_covariance, predict_latent
from paretomerge.surrogates.regression import Hyperparameters, Regression, constrained_to, find_mode, linearise
from paretomerge.surrogates.residual import distances

CHOSEN = Hyperparameters(0.6, 0.3, 0.4, 0.05)
PLAIN = Hyperparameters(0.6, 0.0, 1.0, 0.05)


@pytest.mark.parametrize("chosen", [CHOSEN, PLAIN])
def test_with_the_identity_link_it_is_gaussian_process_regression(make_regression, naive, chosen):
    regression, points = make_regression()
    queries = np.random.default_rng(1).random((7, 2))
    features = np.stack([np.ones(7), queries[:, 0], queries[:, 1] ** 2], 1)
    to_scores, between = distances(queries, points), distances(queries, queries)
    mean, covariance, evidence = naive(regression, chosen, features, to_scores, between)
    found = find_mode(regression, chosen, regression.values)
    latent = predict_latent(found, features, to_scores)
    assert latent.mean == pytest.approx(mean, abs=1e-8)
    assert latent.variance == pytest.approx(covariance.diagonal(), abs=1e-8)
    assert joint_covariance(found, latent, between) == pytest.approx(covariance, abs=1e-7)
    assert found.log_evidence() == pytest.approx(evidence, abs=1e-8)


@pytest.mark.parametrize("link", [sigmoid_link(), softplus_link(), sigmoid_link(-1.0, 3.0)])
def test_the_mode_minimises_the_penalised_squares(make_regression, link):
    regression, _points = make_regression(link=link, noise=1e-3)
    found = find_mode(regression, CHOSEN, link.inverse(regression.values))
    covariance, scale = regression.covariance(CHOSEN), regression.stdev(CHOSEN)
    process = covariance @ (found.slope * found.weights)
    assert found.eta == pytest.approx(regression.features @ found.beta + process, abs=1e-3)

    def penalised(beta, process):
        errors = regression.values - link.value(regression.features @ beta + process)
        squares = np.sum(errors**2 / (regression.noise + CHOSEN.misfit**2))
        away = (beta - regression.prior_mean) / scale
        return squares + away @ away + process @ np.linalg.solve(covariance, process)

    best, rng = penalised(found.beta, process), np.random.default_rng(0)
    for _ in range(20):
        moved = penalised(found.beta + 1e-2 * rng.standard_normal(3), process + 1e-2 * covariance @ rng.normal(size=12))
        assert moved > best - 1e-6


def test_wide_priors_and_exact_scores_stay_apart(make_regression):
    regression, _points = make_regression(count=3, noise=0.0)
    exact = regression.features @ [5.0, -3.0, 2.0]
    regression = replace(regression, values=exact, prior_stdev=np.full(3, 1e5))
    found = linearise(regression, replace(PLAIN, correction=1.0, misfit=1e-7), exact)
    assert found.beta == pytest.approx([5.0, -3.0, 2.0], abs=1e-5)
    assert np.isfinite(found.log_evidence())


def test_repeated_points_with_exact_scores_are_no_obstacle(make_regression):
    regression, _points = make_regression(noise=0.0)
    twice = [*range(12), *range(12)]
    regression = replace(
        regression,
        values=regression.values[twice],
        noise=regression.noise[twice],
        features=regression.features[twice],
        distance=regression.distance[np.ix_(twice, twice)],
    )
    found = find_mode(regression, Hyperparameters(1.0, 1.0, 5.0, 1e-9), regression.values)
    assert found.eta == pytest.approx(regression.values, abs=1e-3)


def test_scores_at_the_bounds_do_not_break_it(make_regression):
    values = np.where(np.random.default_rng(0).random((12, 2))[:, 0] > 0.5, 1.0, 0.0)
    regression, _ = make_regression(link=sigmoid_link(), noise=1e-4, values=values)
    found = find_mode(regression, CHOSEN, regression.link.inverse(values))
    assert np.isfinite(found.eta).all()
    assert np.abs(regression.link.value(found.eta) - values).mean() < 0.1


def test_without_scores_it_is_the_prior(make_regression):
    regression, _ = make_regression(count=0)
    found = find_mode(regression, CHOSEN, np.zeros(0))
    latent = predict_latent(found, np.array([[1.0, 2.0, 3.0]]), np.zeros((1, 0)))
    assert latent.mean == pytest.approx([0.1 + 2 * 0.5])
    assert latent.variance == pytest.approx([1.0 + 4 * 4.0 + 9 * (0.6 * 0.7) ** 2 + 0.3**2])


def test_a_constraint_that_fixes_a_coefficient_leaves_it_without_uncertainty(make_regression):
    """A stiff row for one coefficient is the regression without it."""
    regression, _ = make_regression()
    free = linearise(regression, PLAIN, regression.values)
    stiff = constrained_to(free, np.array([free.beta[0], free.beta[1], 0.0]), np.array([[0.0, 0.0, 1e6]]))
    without = replace(
        regression,
        features=regression.features[:, :2],
        prior_mean=regression.prior_mean[:2],
        prior_stdev=regression.prior_stdev[:2],
        correcting=regression.correcting[:2],
    )
    expected = linearise(without, PLAIN, regression.values)
    query = np.array([[1.0, 0.3, 0.7]])
    variance = predict_latent(stiff, query, np.zeros((1, 12))).variance
    assert variance == pytest.approx(predict_latent(expected, query[:, :2], np.zeros((1, 12))).variance, rel=1e-6)
    assert stiff.beta == pytest.approx([free.beta[0], free.beta[1], 0.0])


@pytest.mark.parametrize("seed", [6, 9, 15, 26])
def test_scores_that_contradict_each_other_at_the_bounds_do_not_throw_it_off(seed):
    """Undamped steps end where the squares are at least twice as large; another optimiser is the judge."""
    from scipy.optimize import minimize

    rng, link = np.random.default_rng(seed), sigmoid_link()
    points = rng.random((8, 2))
    features = np.concatenate([np.ones((8, 1)), points], 1)
    values = link.value(5 * rng.standard_normal(8))
    regression = Regression(
        link,
        values,
        np.full(8, 1e-3),
        features,
        distances(points, points),
        np.zeros(3),
        np.full(3, 10.0),
        np.zeros(3, dtype=bool),
    )
    chosen = Hyperparameters(1.0, 0.0, 1.0, 0.01)

    def squares(beta):
        errors = values - link.value(features @ beta)
        return np.sum(errors**2) / (1e-3 + 1e-4) + np.sum((beta / 10) ** 2)

    found = squares(find_mode(regression, chosen, link.inverse(values)).beta)
    best = min(minimize(squares, start, method="Nelder-Mead").fun for start in (np.zeros(3), *3 * np.eye(3)))
    assert found < 1.3 * best + 1
