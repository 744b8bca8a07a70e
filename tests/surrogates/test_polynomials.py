from __future__ import annotations

import numpy as np
import pytest

from paretomerge.surrogates.polynomials import (
    correcting_features,
    feature_pairs,
    quadratic_count,
    quadratic_features,
    quadratic_form,
)
from paretomerge.types import Box, Simplex

DOMAINS = [Simplex(("a",)), Simplex(("a", "b", "c")), Box(("a", "b")), Box(("a", "b", "c"), (-1, 0, 2), (1, 0.5, 5))]


def test_on_the_simplex_features_are_the_weights_and_their_products():
    found = quadratic_features(np.array([[0.2, 0.3, 0.5]]), DOMAINS[1])
    assert found[0] == pytest.approx([0.2, 0.3, 0.5, 0.06, 0.1, 0.15])


def test_in_a_box_they_are_one_scaled_coordinates_squares_and_products():
    assert quadratic_features(np.array([[1.0, 0.25]]), DOMAINS[2])[0] == pytest.approx([1, 1, -0.5, 1, 0.25, -0.5])


@pytest.mark.parametrize("domain", DOMAINS)
def test_quadratic_forms_are_what_features_times_coefficients_are(domain):
    rng = np.random.default_rng(0)
    points = domain.spread(20)
    coefficients = rng.standard_normal(quadratic_count(domain))
    features = quadratic_features(points, domain)
    A, b, e = quadratic_form(coefficients, domain)
    assert features.shape == (20, len(coefficients)) == (20, len(feature_pairs(domain)))
    assert pytest.approx(A.T) == A
    values = 0.5 * np.einsum("ki,ij,kj->k", points, A, points) + points @ b + e
    assert values == pytest.approx(features @ coefficients, abs=1e-10)


@pytest.mark.parametrize("domain", DOMAINS[1:])
def test_pairs_say_which_coordinates_a_feature_multiplies(domain):
    """Second differences of a feature along i and j are those of `z_i z_j`."""
    size = len(domain.names)
    points = np.full((1, size), 0.3)
    scale = 1.0 if isinstance(domain, Simplex) else 2 / np.subtract(*domain.corners[::-1])
    for i in range(size):
        for j in range(size):
            step, other = np.eye(size)[i], np.eye(size)[j]
            corners = [points + step + other, points + step, points + other, points]
            bend = sum(
                s * quadratic_features(p, domain)[0] for s, p in zip((1, -1, -1, 1), corners, strict=True)
            ) / np.prod(np.broadcast_to(scale, (size,))[[i, j]])
            for pair, found in zip(feature_pairs(domain), bend, strict=True):
                expected = 0.0 if pair is None else float(pair == (i, j)) + float(pair == (j, i))
                assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("domain", DOMAINS[1:])
def test_corrections_of_second_degree_have_unit_variance_and_linear_ones_more(domain):
    features = correcting_features(
        domain.from_cube(np.random.default_rng(0).random((40000, domain.cube_dimension))), domain
    )
    size = len(domain.names)
    assert features[:, :size].mean(axis=0) == pytest.approx(np.zeros(size), abs=0.2)
    assert features[:, :size].std(axis=0) == pytest.approx(np.full(size, 8.0), rel=0.05)
    if isinstance(domain, Box):
        assert features[:, size:].std(axis=0) == pytest.approx(np.ones(features.shape[1] - size), rel=0.05)
        assert features.mean(axis=0) == pytest.approx(np.zeros(features.shape[1]), abs=0.2)
