from __future__ import annotations

import numpy as np
import pytest

from paretomerge.surrogates.links import identity_link, sigmoid_link
from paretomerge.surrogates.regression import fit_regression

RNG = np.random.default_rng(0)
FEATURES = np.stack([np.ones(30), RNG.uniform(-1, 1, 30)], 1)


def fit(values, link=None, stderr=0.0, mean=(0.0, 0.0), variance=(100.0, 100.0), features=FEATURES):
    return fit_regression(
        features, values, np.full(len(values), stderr), link or identity_link(), np.array(mean), np.array(variance)
    )


def test_with_the_identity_link_it_is_bayesian_linear_regression():
    noise = 0.1
    values = FEATURES @ [1.0, 2.0] + noise * RNG.normal(size=30)
    found = fit(values, stderr=noise, mean=(0.5, 0.0), variance=(0.01, 4.0))
    total = noise**2 + found.residual_variance
    precision = FEATURES.T @ FEATURES / total + np.diag([100.0, 0.25])
    mean = np.linalg.solve(precision, FEATURES.T @ values / total + np.diag([100.0, 0.25]) @ [0.5, 0.0])
    # The unknown noise is estimated after the last solve: the two agree up to that last update.
    assert found.coefficients == pytest.approx(mean, abs=1e-3)
    assert found.covariance == pytest.approx(np.linalg.inv(precision), rel=0.05)


def test_the_residual_variance_estimates_the_noise_nobody_reported():
    features = np.stack([np.ones(400), RNG.uniform(-1, 1, 400)], 1)
    values = features @ [1.0, 2.0] + 0.3 * RNG.normal(size=400)
    assert fit(values, features=features).residual_variance == pytest.approx(0.09, rel=0.2)
    reported = fit(values, stderr=0.3, features=features)
    assert reported.residual_variance < 0.02
    # Another score has that noise again, reported or not.
    assert reported.score_variance == pytest.approx(0.09, rel=0.2)


def test_predictions_carry_the_coefficients_uncertainty_and_the_residuals():
    found = fit(FEATURES @ [1.0, 2.0] + 0.2 * RNG.normal(size=30))
    query = np.array([[1.0, 5.0]])
    mean, stdev = found.predict(query)
    assert mean == pytest.approx(query @ found.coefficients)
    expected = query[0] @ found.covariance @ query[0] + found.residual_variance
    assert stdev == pytest.approx([expected**0.5])


def test_through_a_link_the_slope_carries_the_uncertainty():
    link = sigmoid_link()
    found = fit(link.value(FEATURES @ [1.0, -2.0]) + 0.01 * RNG.normal(size=30), link, stderr=0.01)
    query = np.array([[1.0, 0.3]])
    mean, stdev = found.predict(query)
    slope = link.slope(query @ found.coefficients)[0]
    spread = query[0] @ found.covariance @ query[0]
    assert stdev[0] == pytest.approx((slope**2 * spread + found.score_variance) ** 0.5)
    assert mean[0] == pytest.approx(link.value(np.array(0.4)), abs=0.02)


def test_it_finds_the_mode_of_the_penalised_likelihood():
    link = sigmoid_link()
    values = link.value(FEATURES @ [0.5, 3.0])
    found = fit(values, link, stderr=0.05, mean=(0.0, 0.0), variance=(1.0, 1.0))
    noise = 0.05**2 + found.residual_variance

    def objective(beta):
        return np.sum((values - link.value(FEATURES @ beta)) ** 2) / noise + beta @ beta

    best = objective(found.coefficients)
    for step in 1e-3 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]):
        assert objective(found.coefficients + step) > best


def test_without_scores_it_is_the_prior():
    found = fit(np.zeros(0), mean=(0.3, 0.4), variance=(1.0, 4.0), features=np.zeros((0, 2)))
    mean, stdev = found.predict(np.array([[1.0, 1.0]]))
    assert mean == pytest.approx([0.7])
    assert stdev == pytest.approx([5**0.5])


def test_scores_at_the_bounds_do_not_break_it():
    found = fit(np.where(FEATURES[:, 1] > 0, 1.0, 0.0), sigmoid_link())
    mean, stdev = found.predict(FEATURES)
    assert np.isfinite(mean).all()
    assert np.isfinite(stdev).all()
    assert np.abs(mean - (FEATURES[:, 1] > 0)).mean() < 0.1


def test_the_noise_is_not_underestimated_from_few_scores():
    """Target the true variance 0.01; budget 300 fits of six scores, a standard error of 4 %."""
    rng, found = np.random.default_rng(4), []
    for _ in range(300):
        features = np.stack([np.ones(6), rng.uniform(-1, 1, 6), rng.uniform(-1, 1, 6)], 1)
        found.append(fit(0.1 * rng.normal(size=6), mean=np.zeros(3), variance=100 * np.ones(3), features=features))
    assert np.mean([regression.residual_variance for regression in found]) == pytest.approx(0.01, rel=0.2)
