from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.surrogates import DiscrepancyPrior
from paretomerge.surrogates.discrepancy_prior import DiscrepancySettings, Places

WEIGHTS = np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.2, 0.2, 0.6], [0.0, 0.4, 0.6]])


@pytest.fixture(scope="module")
def settings() -> DiscrepancySettings:
    return DiscrepancyPrior(draws=8).sample()


def _matern(distance: float) -> float:
    scaled = np.sqrt(5) * distance
    return (1 + scaled + scaled**2 / 3) * np.exp(-scaled)


@pytest.mark.parametrize("column", [0, 2, None])
def test_covariances_are_the_formula(settings, column):
    found = settings.covariance(Places.of(WEIGHTS, column), Places.of(WEIGHTS[:3], column))
    for draw in (0, 5):
        one = {field.name: getattr(settings, field.name)[draw] for field in fields(settings)}
        for i, a in enumerate(WEIGHTS):
            for j, b in enumerate(WEIGHTS[:3]):
                s, t = (a.max(), b.max()) if column is None else (a[column], b[column])
                near = _matern(np.linalg.norm(np.sqrt(a) - np.sqrt(b)) / one["rest_length"])
                expected = one["rest"] ** 2 * near
                if s > 0 and t > 0:
                    expected += one["trend"] ** 2 * (1 - s) * (1 - t)
                    expected += one["own"] ** 2 * _matern(abs(np.sqrt(s) - np.sqrt(t)) / one["own_length"])
                elif s == 0 and t == 0:
                    expected += one["absent"] ** 2 * near
                assert found[draw, i, j] == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("column", [1, None])
def test_variances_are_the_diagonal_and_covariances_are_positive(settings, column):
    places = Places.of(WEIGHTS, column)
    covariance = settings.covariance(places, places)
    np.testing.assert_allclose(settings.variance(places), np.diagonal(covariance, axis1=1, axis2=2), rtol=1e-9)
    assert (np.linalg.eigvalsh(covariance) > -1e-9).all()


def test_trainings_are_noisier_on_a_task_without_weight(settings):
    noise = settings.noise_variance(Places.of(WEIGHTS, 0))
    np.testing.assert_allclose(noise[:, 0], settings.noise**2)
    np.testing.assert_allclose(noise[:, 2], settings.noise**2 + settings.absent_noise**2)


@given(name=st.sampled_from([field.name for field in fields(DiscrepancySettings)]))
def test_draws_have_the_priors_median_and_spread(name):
    median, spread = getattr(DiscrepancyPrior(), name)
    logs = np.log(getattr(DiscrepancyPrior(draws=1024).sample(), name))
    assert np.median(logs) == pytest.approx(np.log(median), abs=0.02)
    assert logs.std() == pytest.approx(spread, rel=0.05)


def test_draws_are_the_same_every_time_and_a_spread_of_zero_is_a_fixed_setting():
    first, second = (DiscrepancyPrior(draws=16).sample() for _ in range(2))
    assert first.trend.tolist() == second.trend.tolist()
    assert set(replace(DiscrepancyPrior(draws=16), noise=(0.3, 0.0)).sample().noise.tolist()) == {0.3}
