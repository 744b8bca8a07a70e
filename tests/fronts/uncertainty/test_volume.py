from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from paretomerge.errors import DataError
from paretomerge.fronts import hypervolume
from paretomerge.fronts.uncertainty import Interval, hypervolume_draws, hypervolume_interval, volume
from paretomerge.types import Objective

A, B, UP = Objective("a"), Objective("b"), Objective("up", "maximise")


def test_one_normal_point_has_the_expected_volume_of_the_formula() -> None:
    """E (r - a)⁺ (r - b)⁺ is a product for independent objectives, each `s (z Φ(z) + φ(z))` with `z = (r - m) / s`."""
    rng = np.random.default_rng(0)
    mean, stdev, corner = np.array([0.3, 0.6]), np.array([0.4, 0.5]), np.array([1.0, 0.9])
    z = (corner - mean) / stdev
    expected = (stdev * (z * norm.cdf(z) + norm.pdf(z))).prod()
    draws = mean + stdev * rng.standard_normal((40_000, 1, 2))
    found = hypervolume_interval(draws, (A, B), corner)
    np.testing.assert_allclose(found.mean, expected, rtol=0.02)
    assert found.lower == 0.0


def test_its_interval_is_that_of_the_volume_for_a_front_that_moves_as_a_whole() -> None:
    """One objective: the volume is `r - min`, normal when every point moves by the same normal error."""
    rng = np.random.default_rng(1)
    draws = np.array([[0.2], [0.5]]) + 0.05 * rng.standard_normal((40_000, 1, 1))
    found = hypervolume_interval(draws, (A,), [1.0], level=0.8)
    np.testing.assert_allclose(
        [found.lower, found.mean, found.upper], 0.8 + 0.05 * norm.ppf([0.1, 0.5, 0.9]), atol=2e-3
    )


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 5])
def test_every_draw_is_the_exact_hypervolume(objectives: int) -> None:
    rng = np.random.default_rng(2)
    names = tuple(Objective(f"o{m}", "maximise" if m % 2 else "minimise") for m in range(objectives))
    draws = rng.random((3, 12, objectives))
    corner = np.array([0.1 if m % 2 else 0.9 for m in range(objectives)])
    expected = [hypervolume(table, corner, names) for table in draws]
    np.testing.assert_allclose(hypervolume_draws(draws, names, corner), expected, rtol=1e-12)


def test_above_five_objectives_it_is_close_to_the_exact_one() -> None:
    rng = np.random.default_rng(3)
    names = tuple(Objective(f"o{m}") for m in range(6))
    draws = 1 - np.sqrt(rng.dirichlet(np.ones(6), size=(2, 30)))
    exact = [hypervolume(table, np.full(6, 1.1), names) for table in draws]
    np.testing.assert_allclose(hypervolume_draws(draws, names, np.full(6, 1.1)), exact, rtol=0.02)


def test_above_five_objectives_draws_share_their_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume, "EXACT_OBJECTIVES", 1)
    one = np.random.default_rng(4).random((1, 5, 2))
    same = hypervolume_draws(np.concatenate([one, one]), (A, B), [1.0, 1.0])
    assert same[0] == same[1]
    np.testing.assert_allclose(same[0], hypervolume(one[0], [1.0, 1.0], (A, B)), rtol=1e-2)
    assert same[0] != hypervolume(one[0], [1.0, 1.0], (A, B))


def test_points_that_are_not_feasible_or_beyond_the_reference_add_nothing() -> None:
    draws = np.array([[[0.0, 0.0], [0.5, 0.5]], [[0.0, 0.0], [0.5, 0.5]], [[2.0, 2.0], [1.0, 1.0]]])
    feasible = np.array([[True, True], [False, True], [True, True]])
    assert hypervolume_draws(draws, (A, B), [1.0, 1.0], feasible).tolist() == [1.0, 0.25, 0.0]
    assert hypervolume_draws(draws[:1], (A, B), [1.0, 1.0], np.zeros((1, 2), bool)).tolist() == [0.0]


def test_an_interval_survives_json() -> None:
    interval = Interval(1.0, 0.5, 1.5)
    assert Interval.from_dict(interval.as_dict()) == interval


def test_what_does_not_fit_says_so() -> None:
    with pytest.raises(DataError, match=r"reference point has shape \[3\], expected \[2\]"):
        hypervolume_interval(np.zeros((40, 1, 2)), (A, B), np.ones(3))
    with pytest.raises(DataError, match="10 draws are too few"):
        hypervolume_interval(np.zeros((10, 1, 2)), (A, B), np.ones(2))
    with pytest.raises(DataError, match=r"\[draws, points, 2 objectives\]"):
        hypervolume_draws(np.zeros((10, 2)), (A, UP), np.ones(2))
