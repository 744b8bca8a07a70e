from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from paretomerge.errors import DataError
from paretomerge.fronts.uncertainty import probability_nondominated
from paretomerge.types import Objective

A, B, UP = Objective("a"), Objective("b"), Objective("up", "maximise")


def test_two_normal_points_are_dominated_as_often_as_the_formula_says() -> None:
    """P(the other dominates) is the product over objectives of P(the other is better)."""
    rng = np.random.default_rng(0)
    mean, stdev = np.array([[0.0, 1.0], [0.5, 0.2]]), np.array([[0.3, 0.5], [0.4, 0.6]])
    draws = mean + stdev * rng.standard_normal((15_000, 2, 2))
    gap = (mean[0] - mean[1]) / np.hypot(*stdev)
    expected = [1 - norm.cdf(gap).prod(), 1 - norm.cdf(-gap).prod()]
    np.testing.assert_allclose(probability_nondominated(draws, (A, B)), expected, atol=0.02)


def test_errors_that_move_all_points_together_dominate_nobody() -> None:
    rng = np.random.default_rng(0)
    front = np.stack([np.linspace(0, 1, 9), 1 - np.linspace(0, 1, 9)], axis=1)
    together = front + rng.normal(size=(300, 1, 2))
    np.testing.assert_array_equal(probability_nondominated(together, (A, B)), 1.0)
    apart = front + rng.normal(size=(300, 9, 2))
    assert probability_nondominated(apart, (A, B)).max() < 0.6


def test_the_better_direction_is_the_objectives_own() -> None:
    draws = np.array([[[0.0, 1.0], [0.0, 0.5]]])
    assert probability_nondominated(draws, (A, UP)).tolist() == [1.0, 0.0]
    assert probability_nondominated(draws, (A, B)).tolist() == [0.0, 1.0]


def test_equal_points_do_not_dominate_each_other() -> None:
    assert probability_nondominated(np.zeros((4, 3, 2)), (A, B)).tolist() == [1.0, 1.0, 1.0]


def test_a_point_that_is_not_feasible_neither_dominates_nor_counts() -> None:
    draws = np.broadcast_to(np.array([[0.0, 0.0], [1.0, 1.0]]), (4, 2, 2))
    feasible = np.array([[True, True], [False, True], [False, True], [False, False]])
    assert probability_nondominated(draws, (A, B), feasible).tolist() == [0.25, 0.5]
    assert probability_nondominated(draws, (A, B), np.zeros((4, 2), bool)).tolist() == [0.0, 0.0]


@given(seed=st.integers(0, 200), points=st.integers(1, 6), objectives=st.integers(1, 4))
def test_it_counts_what_a_loop_counts(seed: int, points: int, objectives: int) -> None:
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, 4, size=(5, points, objectives)).astype(float)
    feasible = rng.random((5, points)) < 0.8
    expected = np.zeros(points)
    for table, allowed in zip(draws, feasible, strict=True):
        for k in np.flatnonzero(allowed):
            worse = (table[allowed] <= table[k]).all(axis=1) & (table[allowed] < table[k]).any(axis=1)
            expected[k] += not worse.any()
    names = tuple(Objective(f"o{m}") for m in range(objectives))
    np.testing.assert_allclose(probability_nondominated(draws, names, feasible), expected / 5)


@pytest.mark.parametrize(
    "draws", [np.zeros((3, 2)), np.zeros((3, 2, 3)), np.zeros((0, 2, 2)), np.full((1, 1, 2), np.nan)]
)
def test_draws_of_another_shape_are_refused(draws: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"expected \[draws, points, 2 objectives\] finite numbers"):
        probability_nondominated(draws, (A, B))
