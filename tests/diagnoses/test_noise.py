from __future__ import annotations

import numpy as np

from paretomerge.diagnoses.noise import difference_variances, noise_variance, score_variance
from paretomerge.types import Objective, Scores


def test_differences_are_as_sharp_as_pairing_makes_them(scores_of) -> None:
    """The variance of a difference of two means is that of the differences of the examples."""
    table = np.random.default_rng(0).normal(size=(3, 50)) + np.random.default_rng(1).normal(size=50)
    found = difference_variances(scores_of(table))[0]
    for i in range(3):
        for j in range(3):
            expected = (table[i] - table[j]).var(ddof=1) / 50
            np.testing.assert_allclose(found[i, j], expected, rtol=1e-9, atol=1e-15)


def test_without_shared_errors_variances_add() -> None:
    scores = Scores(("a",), np.zeros((2, 1)), [[1.0], [2.0]], [[0.3], [0.4]], (Objective("a"),), ("merged",) * 2)
    np.testing.assert_allclose(difference_variances(scores)[0, 0, 1], 0.25)
    np.testing.assert_allclose(noise_variance(scores), 0.125)
    np.testing.assert_allclose(score_variance(scores), 0.5)


def test_noise_is_what_equal_models_vary_by() -> None:
    """Models without any difference: on average the variance over models is noise alone."""
    rng = np.random.default_rng(2)
    ratio = []
    for _ in range(400):
        common, own = rng.normal(size=30), rng.normal(size=(5, 30))
        table = 3 * common + own
        shared = np.cov(table)[None] / 30
        stderr = np.sqrt(np.einsum("mnn->nm", shared))
        objective = (Objective("a"),)
        scores = Scores(("a",), np.zeros((5, 1)), table.mean(1)[:, None], stderr, objective, ("merged",) * 5, shared)
        ratio.append(float(score_variance(scores)[0] / noise_variance(scores)[0]))
    assert abs(np.mean(ratio) - 1) < 0.1


def test_one_model_has_no_variance() -> None:
    scores = Scores(("a",), np.zeros((1, 1)), [[1.0]], [[0.3]], (Objective("a"),), ("merged",))
    assert noise_variance(scores).tolist() == score_variance(scores).tolist() == [0.0]
