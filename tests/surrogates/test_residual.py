from __future__ import annotations

import numpy as np
import pytest

from paretomerge.surrogates.residual import correlation, correlation_slope, distances, unit_coordinates
from paretomerge.types import Box, Simplex


def test_correlations_are_matern_five_halves():
    """By the definition with a Bessel function (Rasmussen & Williams, 2006, equation 4.14)."""
    from scipy.special import gamma, kv

    distance, length = np.array([0.01, 0.3, 1.0, 4.0]), 0.8
    scaled = np.sqrt(5) * distance / length
    expected = 2 ** (1 - 2.5) / gamma(2.5) * scaled**2.5 * kv(2.5, scaled)
    assert correlation(distance, length) == pytest.approx(expected, rel=1e-10)
    assert correlation(np.zeros(1), length)[0] == 1.0


@pytest.mark.parametrize("length", [0.2, 1.0, 7.0])
def test_slopes_are_derivatives_with_respect_to_the_logarithm_of_the_length(length):
    distance, step = np.linspace(0, 3, 9), 1e-5
    up, down = (correlation(distance, length * np.exp(sign * step)) for sign in (1, -1))
    assert correlation_slope(distance, length) == pytest.approx((up - down) / (2 * step), abs=1e-9)


def test_distances_are_euclidean_and_zero_to_oneself():
    rng = np.random.default_rng(0)
    points, others = rng.random((5, 3)), rng.random((4, 3))
    expected = np.linalg.norm(points[:, None] - others, axis=2)
    assert distances(points, others) == pytest.approx(expected, abs=1e-12)
    assert distances(points, points).diagonal() == pytest.approx(np.zeros(5), abs=1e-7)


def test_boxes_are_scaled_to_unit_sides_and_simplices_are_left():
    assert unit_coordinates(np.array([[-1.0, 2.0]]), Box(("a", "b"), (-1, 0), (3, 4))).tolist() == [[0.0, 0.5]]
    assert unit_coordinates(np.array([[0.2, 0.8]]), Simplex(("a", "b"))).tolist() == [[0.2, 0.8]]
