from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from paretomerge.surrogates.links import identity_link, sigmoid_link, softplus_link
from paretomerge.surrogates.prediction import latent_response, predict_latent, through_link
from paretomerge.surrogates.regression import Hyperparameters, find_mode
from paretomerge.surrogates.residual import distances

CHOSEN = Hyperparameters(0.6, 0.3, 0.4, 0.05)


@pytest.mark.parametrize(("link", "tolerance"), [(identity_link(), 1e-6), (sigmoid_link(), 0.02)])
def test_responses_are_derivatives_of_predictions_with_respect_to_scores(make_regression, link, tolerance):
    """Through a link the mode moves with the second derivative too, which small errors make small."""
    regression, points = make_regression(link=link, noise=1e-3)
    queries = np.random.default_rng(1).random((5, 2))
    features = np.stack([np.ones(5), queries[:, 0], queries[:, 1] ** 2], 1)
    to_scores = distances(queries, points)

    def fit(values):
        return find_mode(replace(regression, values=values), CHOSEN, link.inverse(values))

    found = fit(regression.values)
    response = latent_response(found, predict_latent(found, features, to_scores))
    assert response.shape == (5, 12)
    for n in range(12):
        step = 1e-3 * np.eye(12)[n]
        up, down = (predict_latent(fit(regression.values + sign * step), features, to_scores).mean for sign in (1, -1))
        assert response[:, n] == pytest.approx((up - down) / 2e-3, abs=tolerance * np.abs(response).max() + 1e-9)


@pytest.mark.parametrize("link", [identity_link(), sigmoid_link(), softplus_link(), sigmoid_link(-2.0, 5.0)])
def test_moments_through_links_are_integrals(link):
    mean, stdev = np.array([[-2.0, 0.3], [1.0, 4.0]]), np.array([[0.1, 1.5], [0.5, 1.0]])
    steps = np.linspace(-9, 9, 20001)
    density = np.exp(-0.5 * steps**2)
    density /= density.sum()
    eta = mean[..., None] + stdev[..., None] * steps
    average = link.value(eta) @ density
    found = through_link(link, mean, stdev)
    assert found[0] == pytest.approx(average, abs=1e-3)
    assert found[1] == pytest.approx((link.value(eta) - average[..., None]) ** 2 @ density, rel=2e-2, abs=1e-5)
    assert found[2] == pytest.approx(link.slope(eta) @ density, abs=2e-3)
