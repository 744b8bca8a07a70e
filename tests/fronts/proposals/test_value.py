from __future__ import annotations

import numpy as np
import pytest

from paretomerge.fronts.proposals import expected_gain
from paretomerge.fronts.proposals.value import _moved_means, _worth

REFERENCE = np.array([1.1, 1.1])


def line(spread: np.ndarray, draws: int = 256, seed: int = 0) -> np.ndarray:
    """Draws at points along a front, each point with its own independent error."""
    rng = np.random.default_rng(seed)
    place = np.linspace(0.0, 1.0, len(spread))
    front = np.stack([place, 1.0 - place], axis=1)
    return front + spread[:, None] * rng.standard_normal((draws, len(spread), 2))


NOISE = np.full(2, 1e-6)


def test_where_nothing_is_uncertain_nothing_is_gained():
    assert expected_gain(line(np.zeros(9)), [2, 3], NOISE, REFERENCE, 0) == pytest.approx(0.0, abs=1e-12)


def test_an_uncertain_point_is_worth_asking_and_a_certain_one_is_not():
    spread = np.zeros(9)
    spread[4] = 0.3
    draws = line(spread)
    assert expected_gain(draws, [4], NOISE, REFERENCE, 0) > 0.01
    assert expected_gain(draws, [2], NOISE, REFERENCE, 0) == pytest.approx(0.0, abs=1e-3)


def test_noise_lowers_the_gain():
    draws = line(np.full(9, 0.2))
    gains = [expected_gain(draws, [3, 5], np.full(2, noise), REFERENCE, 0) for noise in (1e-6, 0.05, 10.0)]
    assert gains[0] > gains[1] > gains[2] >= 0


def test_the_gain_is_that_of_a_gaussian_knowledge_gradient(monkeypatch):
    # One objective, two points: a known one at 0.5, an uncertain one N(0.5, 0.2²): E[max] gains σ/√(2π).
    rng = np.random.default_rng(0)
    draws = np.full((4000, 2, 1), 0.5)
    draws[:, 1, 0] += 0.2 * rng.standard_normal(4000)
    monkeypatch.setattr("paretomerge.fronts.proposals.value.TRUTHS", 4000)
    gain = expected_gain(draws, [1], np.zeros(1), np.array([1.1]), 0)
    assert gain == pytest.approx(0.2 / np.sqrt(2 * np.pi) / 0.6, rel=0.05)


def test_observing_without_noise_moves_the_mean_to_the_truth():
    draws = line(np.full(5, 0.2))
    moved = _moved_means(draws, [1, 3], np.zeros(2), np.random.default_rng(0))
    np.testing.assert_allclose(moved[:, [1, 3]], draws[:64, [1, 3]], atol=1e-10)
    mean = draws.mean(axis=0)
    # Points that vary by themselves stay about where they were.
    assert np.abs(moved[:, 0] - mean[0]).max() < 0.2


def test_directions_add_up_to_the_hypervolume():
    import moocore

    rng = np.random.default_rng(1)
    points, reference = rng.random((6, 3)), np.ones(3)
    directions = np.abs(rng.standard_normal((200_000, 3)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    # The constant is that of a ball's octant: one point at the origin of a unit cube has volume one.
    estimate = _worth(points, reference, directions).max(axis=0).mean() * (np.pi / 6)
    assert estimate == pytest.approx(moocore.hypervolume(points, ref=reference), rel=0.02)


def test_points_that_break_a_limit_are_worth_nothing():
    means = np.array([[0.2, 0.2, 0.1], [0.5, 0.5, -0.1], [2.0, 0.0, -0.1]])
    worth = _worth(means, REFERENCE, np.array([[0.6, 0.8]]))
    assert worth[:, 0].tolist() == [0.0, pytest.approx((0.6 / 0.8) ** 2), 0.0]


def test_learning_that_the_best_point_is_feasible_is_a_gain():
    rng = np.random.default_rng(2)
    draws = np.full((256, 2, 3), -1.0)
    draws[:, 0, :2], draws[:, 1, :2] = 0.2, 0.6
    draws[:, 0, 2] = 0.3 + 0.5 * rng.standard_normal(256)
    assert expected_gain(draws, [0], np.full(3, 1e-6), REFERENCE, 0) > 0.1
    assert expected_gain(draws, [1], np.full(3, 1e-6), REFERENCE, 0) == pytest.approx(0.0, abs=1e-6)


def test_where_nothing_is_in_reach_nothing_is_gained_and_a_first_point_is_everything():
    nowhere = np.full((8, 2, 2), 3.0)
    assert expected_gain(nowhere, [0], NOISE, REFERENCE, 0) == 0.0
    rng = np.random.default_rng(3)
    perhaps = np.concatenate([np.full((256, 1, 2), 3.0), 1.5 + rng.standard_normal((256, 1, 2))], axis=1)
    assert expected_gain(perhaps, [1], NOISE, REFERENCE, 0) == 1.0
