"""A grid of predictions: exact at its points, linear in between, honest about what interpolation costs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.errors import DataError, WeightsError
from paretomerge.fronts import score_uncertainty
from paretomerge.reports.grid import DIVISIONS, PredictedGrid, grid_points, kuhn_corners, predicted_grid
from paretomerge.surrogates import Quadratic, fit_surrogate
from paretomerge.types import Box, Objective, Scores, Simplex, simplex_grid


def fitted(tasks: int = 3, domain=None):
    """A quadratic surrogate of two smooth objectives."""
    names = tuple("abcdef"[:tasks])
    domain = domain or Simplex(names)
    points = domain.spread(30, seed=1)
    values = np.stack([1 + (points**2).sum(axis=1), 0.5 + points[:, 0] * points[:, 1]], axis=1)
    objectives = (Objective("x", "minimise", "nats", (0, None)), Objective("y", "maximise"))
    errors = np.full(values.shape, 0.01)
    return fit_surrogate(Scores(names, points, values, errors, objectives, "merged"), Quadratic(), domain)


@pytest.fixture(scope="module")
def surrogate():
    return fitted()


@pytest.fixture(scope="module")
def grid(surrogate) -> PredictedGrid:
    return predicted_grid(surrogate, seed=3)


def test_grid_points_hold_what_the_surrogate_predicts_with_the_intervals_of_its_draws(surrogate, grid):
    found = score_uncertainty(surrogate, grid.weights, draws=200, seed=3)
    lower, upper = found.interval(0.9)
    values, low, high = grid.at(grid.weights)
    np.testing.assert_allclose(values, surrogate.predict(grid.weights)[0], rtol=1e-12)
    np.testing.assert_allclose(low, lower, rtol=1e-12)
    np.testing.assert_allclose(high, upper, rtol=1e-12)
    assert (grid.divisions, grid.level, len(grid)) == (24, 0.9, 325)
    np.testing.assert_array_equal(grid.far, surrogate.extrapolates(grid.weights))


@pytest.mark.parametrize("tasks", sorted(DIVISIONS))
def test_grids_of_every_number_of_tasks_fit_a_page(tasks):
    found = predicted_grid(fitted(tasks), draws=20)
    assert 100 <= len(found) <= 500
    assert found.values.shape == (len(found), 2)


def test_the_stated_errors_cover_what_interpolation_costs_elsewhere(surrogate, grid):
    between = np.random.default_rng(9).dirichlet(np.ones(3), 300)
    errors = np.abs(grid.at(between)[0] - surrogate.predict(between)[0])
    assert (grid.edge_error >= grid.error).all()
    assert (errors.max(axis=0) <= 1.5 * grid.edge_error).all()
    assert (grid.error > 0).all()
    assert (grid.error < 0.01).all()


def test_a_jump_at_the_edge_is_an_error_of_the_edge_alone(surrogate):
    class Jumping:
        def __getattr__(self, name):
            return getattr(surrogate, name)

        def predict(self, points):
            mean, stdev = surrogate.predict(points)
            return mean + (np.asarray(points).min(axis=1) < 1e-12)[:, None], stdev

    found = predicted_grid(Jumping(), draws=20)
    assert (found.edge_error > 0.5).all()
    assert (found.error < 0.01).all()


@given(st.integers(2, 6), st.integers(1, 7), st.integers(0, 10**6))
def test_corners_are_grid_points_whose_shares_reproduce_the_weights(tasks, divisions, seed):
    generator = np.random.default_rng(seed)
    weights = generator.dirichlet(np.full(tasks, 0.5))
    if seed % 3 == 0:  # on an edge, and on a grid point along some coordinates
        weights = np.round(weights * divisions) / divisions
        weights[-1] = max(0.0, 1 - weights[:-1].sum())
        weights /= weights.sum()
    corners = kuhn_corners(weights, divisions)
    assert sum(share for _, share in corners) == pytest.approx(1, abs=1e-12)
    for corner, _ in corners:
        assert min(corner) >= 0
        assert sum(corner) == divisions
    found = sum(share * np.array(corner) for corner, share in corners) / divisions
    np.testing.assert_allclose(found, weights, atol=1e-8)


def test_linear_functions_are_interpolated_exactly_and_smooth_ones_continuously():
    weights = simplex_grid(4, 5)
    slopes = np.array([[1.0, -2.0], [0.5, 3.0], [2.0, 0.0], [-1.0, 1.0]])
    table = weights @ slopes
    objectives = (Objective("x"), Objective("y"))
    nothing = np.zeros(2)
    grid = PredictedGrid(
        tuple("abcd"), objectives, 5, table, table - 1, table + 1, 0.9, nothing, nothing, np.zeros(len(table), bool)
    )
    queries = np.random.default_rng(0).dirichlet(np.ones(4), 50)
    values, lower, upper = grid.at(queries)
    np.testing.assert_allclose(values, queries @ slopes, atol=1e-12)
    np.testing.assert_allclose(upper - lower, 2, atol=1e-12)
    near = np.clip(queries + 1e-9, 0, None)
    near /= near.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(grid.at(near)[0], values, atol=1e-7)


def test_json_and_back_is_the_same_grid(grid):
    unknown = replace(grid, lower=np.where(np.arange(len(grid))[:, None] == 3, np.nan, grid.lower))
    read = PredictedGrid.from_dict(json.loads(json.dumps(unknown.as_dict(), allow_nan=False)))
    for name in ("weights", "values", "lower", "upper", "error", "edge_error", "far"):
        np.testing.assert_array_equal(getattr(read, name), getattr(unknown, name))
    assert (read.tasks, read.objectives, read.level, read.divisions) == (
        grid.tasks, grid.objectives, grid.level, grid.divisions,
    )  # fmt: skip


def test_other_domains_and_too_many_tasks_have_no_grid():
    boxed = fitted(2, Box(("a", "b")))
    assert predicted_grid(boxed) is None
    assert grid_points(boxed) is None
    assert 7 not in DIVISIONS


def test_weights_outside_the_simplex_and_tables_that_do_not_fit_are_refused(grid):
    with pytest.raises(WeightsError):
        grid.at([[0.5, 0.2, 0.1]])
    with pytest.raises(DataError, match=r"lower has shape \[1, 2\], expected \[325, 2\]"):
        replace(grid, lower=np.zeros((1, 2)))
    with pytest.raises(DataError, match="not all finite"):
        replace(grid, values=np.full_like(grid.values, np.nan))
