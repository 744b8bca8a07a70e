from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from paretomerge.surrogates.evidence import HyperPrior, choose_hyperparameters, evidence_slope
from paretomerge.surrogates.links import identity_link, sigmoid_link
from paretomerge.surrogates.regression import Hyperparameters, Regression, linearise

NAMES = ("correction", "amplitude", "length", "misfit")
ONLY_MISFIT = HyperPrior((1.0, 0.0), (0.0, 0.0), (1.0, 0.0), (0.1, 2.0))


def linear_regression(count, features, noise_stdev, rng, reported=0.0):
    """Zero truth, wide priors, some noise that may or may not be reported."""
    columns = np.stack([np.ones(count), *rng.uniform(-1, 1, (features - 1, count))], 1)
    return Regression(
        identity_link(),
        noise_stdev * rng.standard_normal(count),
        np.full(count, reported**2),
        columns,
        np.zeros((count, count)),
        np.zeros(features),
        np.full(features, 10.0),
        np.zeros(features, dtype=bool),
    )


@pytest.mark.parametrize("names", [NAMES, ("correction", "misfit")])
@pytest.mark.parametrize("link", [identity_link(), sigmoid_link()])
def test_slopes_are_those_of_the_evidence(make_regression, names, link):
    regression, _ = make_regression(link=link)
    chosen = Hyperparameters(0.6, 0.3 if "amplitude" in names else 0.0, 0.4, 0.05)
    eta = link.inverse(regression.values)
    found = evidence_slope(linearise(regression, chosen, eta), names)
    for name, slope in zip(names, found, strict=True):
        step = 1e-5
        up, down = (
            linearise(regression, replace(chosen, **{name: getattr(chosen, name) * np.exp(sign * step)}), eta)
            for sign in (1, -1)
        )
        assert slope == pytest.approx((up.log_evidence() - down.log_evidence()) / (2 * step), abs=1e-5)


def test_noise_that_nobody_reported_is_found_and_reported_noise_is_not_counted_twice():
    rng = np.random.default_rng(0)
    found = choose_hyperparameters(linear_regression(400, 2, 0.3, rng), ONLY_MISFIT, 1e-6)
    assert found.chosen.misfit == pytest.approx(0.3, rel=0.1)
    reported = choose_hyperparameters(linear_regression(400, 2, 0.3, rng, 0.3), ONLY_MISFIT, 1e-6)
    assert reported.chosen.misfit < 0.12


def test_the_misfit_is_not_underestimated_from_few_scores():
    """Target a standard deviation of 0.1; budget 200 fits of six scores by three coefficients."""
    rng = np.random.default_rng(4)
    found = [
        choose_hyperparameters(linear_regression(6, 3, 0.1, rng), ONLY_MISFIT, 1e-6).chosen.misfit for _ in range(200)
    ]
    assert np.median(found) == pytest.approx(0.1, rel=0.25)


def test_what_is_fixed_stays_and_without_scores_medians_are_chosen(make_regression):
    prior = HyperPrior((0.6, 0.0), (0.3, 1.0), (0.4, 0.0), (0.05, 1.0))
    regression, _ = make_regression()
    found = choose_hyperparameters(regression, prior, 1e-6).chosen
    assert (found.correction, found.length) == (0.6, 0.4)
    assert (found.amplitude, found.misfit) != (0.3, 0.05)
    empty, _ = make_regression(count=0)
    assert choose_hyperparameters(empty, prior, 1e-6).chosen == prior.medians


def test_a_process_is_found_where_there_is_one_and_not_where_there_is_none(make_regression):
    prior = HyperPrior((1.0, 1.0), (0.2, 1.0), (0.5, 0.5), (0.01, 1.0))
    regression, points = make_regression(count=80, noise=1e-6)
    wavy = replace(regression, values=regression.values + np.sin(6 * points[:, 0]) * np.cos(5 * points[:, 1]))
    flat = replace(regression, values=regression.features @ [0.3, 1.0, -0.5])
    assert choose_hyperparameters(wavy, prior, 1e-6).chosen.amplitude > 0.3
    assert choose_hyperparameters(flat, prior, 1e-6).chosen.amplitude < 0.03


def test_few_scores_keep_more_doubt_than_their_best_explanation(make_regression, monkeypatch):
    prior = HyperPrior((0.5, 1.0), (0.2, 1.0), (0.5, 0.5), (0.01, 1.0))
    regression, _ = make_regression(count=5, noise=1e-6)
    regression = replace(regression, values=regression.features @ [0.3, 1.0, -0.5])
    averaged = choose_hyperparameters(regression, prior, 1e-6).chosen
    monkeypatch.setattr("paretomerge.surrogates.evidence._FEW", 0)
    best = choose_hyperparameters(regression, prior, 1e-6).chosen
    assert averaged.amplitude > 1.2 * best.amplitude
    assert best.amplitude > 0
