from __future__ import annotations

import numpy as np

from paretomerge.fronts.proposals import InformationCriterion


def draws_of(count: int = 400, points: int = 7, objectives: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((objectives, points, points))
    return np.einsum("mpq,sqm->spm", mixing, rng.standard_normal((count, points, objectives))) + 3.0


def covariance(deviations: np.ndarray) -> np.ndarray:
    return np.einsum("spm,sqm->mpq", deviations, deviations) / len(deviations)


NOISE = np.array([0.5, 0.1])


def test_gains_are_reductions_of_the_variance_along_the_front():
    draws = draws_of()
    criterion = InformationCriterion.of(draws[:, :3], draws[:, 3:], NOISE)
    full = covariance(draws - draws.mean(axis=0))
    expected = np.zeros(4)
    for k in range(4):
        for m in range(2):
            column = full[m, :3, 3 + k]
            expected[k] += (column**2).sum() / (full[m, 3 + k, 3 + k] + NOISE[m])
    np.testing.assert_allclose(criterion.gains(), expected, rtol=1e-10)


def test_observing_leaves_the_covariance_of_a_gaussian_posterior():
    draws = draws_of()
    deviations = draws - draws.mean(axis=0)
    criterion = InformationCriterion.of(draws[:, :3], draws[:, 3:], NOISE)
    after = criterion.after(criterion.candidates[:, 1])
    prior = covariance(deviations)
    for m in range(2):
        column = prior[m, :, 4]
        posterior = prior[m] - np.outer(column, column) / (prior[m, 4, 4] + NOISE[m])
        found = covariance(np.concatenate([after.front, after.candidates], axis=1))[m]
        np.testing.assert_allclose(found, posterior, rtol=1e-8, atol=1e-10)
    lost = np.trace(covariance(criterion.front), axis1=1, axis2=2) - np.trace(covariance(after.front), axis1=1, axis2=2)
    np.testing.assert_allclose(lost.sum(), criterion.gains()[1], rtol=1e-10)


def test_an_exact_observation_leaves_nothing_to_learn_there():
    draws = draws_of()
    criterion = InformationCriterion.of(draws[:, :3], draws[:, 3:], np.zeros(2))
    after = criterion.after(criterion.candidates[:, 0])
    np.testing.assert_allclose(after.candidates[:, 0], 0.0, atol=1e-12)
    assert after.gains()[0] < 1e-20


def test_where_nothing_varies_nothing_is_learned():
    criterion = InformationCriterion.of(np.ones((5, 2, 2)), np.ones((5, 3, 2)), np.zeros(2))
    assert criterion.gains().tolist() == [0.0, 0.0, 0.0]
    assert np.isfinite(criterion.after(criterion.candidates[:, 0]).front).all()
