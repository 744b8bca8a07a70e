from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit

from paretomerge.errors import DataError, PosteriorError
from paretomerge.fronts import closed_form_front, is_nondominated
from paretomerge.types import simplex_grid


def quadratics(seed: int, objectives: int, size: int):
    """Random strictly convex quadratics with eigenvalues of at least one half."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(objectives, size, size))
    A = roots @ roots.transpose(0, 2, 1) / size + 0.5 * np.eye(size)
    return A, rng.normal(size=(objectives, size)), rng.normal(size=objectives)


def value(A, b, e, c):
    return np.array([0.5 * c @ A[n] @ c + b[n] @ c + e[n] for n in range(len(A))])


SHAPES = {"seed": st.integers(0, 10_000), "objectives": st.integers(1, 4), "size": st.integers(1, 5)}


@settings(max_examples=30, deadline=None)
@given(**SHAPES)
def test_each_point_solves_the_normal_equations_and_has_the_stated_values(seed, objectives, size):
    A, b, e = quadratics(seed, objectives, size)
    weights = simplex_grid(objectives, 4)
    points, values = closed_form_front(A, b, e, weights)
    for w, c, v in zip(weights, points, values, strict=True):
        gradient = sum(w[n] * (A[n] @ c + b[n]) for n in range(objectives))
        assert np.abs(gradient).max() < 1e-11
        assert v == pytest.approx(value(A, b, e, c), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_each_point_is_what_a_general_minimiser_finds(seed):
    A, b, e = quadratics(seed, 3, 4)
    weights = simplex_grid(3, 2)
    points, values = closed_form_front(A, b, e, weights)
    for w, c, v in zip(weights, points, values, strict=True):
        found = minimize(lambda x, w=w: w @ value(A, b, e, x), np.zeros(4), method="BFGS", tol=1e-10)
        assert np.abs(found.x - c).max() < 1e-5
        assert w @ v <= found.fun + 1e-12


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), objectives=st.integers(2, 3))
def test_no_sampled_point_dominates_the_front_and_the_front_is_nondominated(seed, objectives):
    A, b, e = quadratics(seed, objectives, 2)
    weights = simplex_grid(objectives, 6)
    _, values = closed_form_front(A, b, e, weights)
    assert is_nondominated(values).all()
    axis = np.linspace(-4, 4, 41)
    cloud = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    sampled = 0.5 * np.einsum("kd,mde,ke->km", cloud, A, cloud) + cloud @ b.T + e
    # Rounding of the values, not of the points: a point of the cloud may coincide with one of the front.
    assert not (sampled[:, None] < values - 1e-12).all(axis=2).any()


def test_a_dense_sample_comes_arbitrarily_close_to_no_other_front():
    A, b, e = quadratics(5, 2, 2)
    _, values = closed_form_front(A, b, e, simplex_grid(2, 400))
    axis = np.linspace(-4, 4, 201)
    cloud = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    sampled = 0.5 * np.einsum("kd,mde,ke->km", cloud, A, cloud) + cloud @ b.T + e
    sampled = sampled[is_nondominated(sampled)]
    gap = np.abs(sampled[:, None] - values).max(axis=2).min(axis=1)
    # The front is a smooth curve: a sample with spacing h is off by O(h²) where the gradient is balanced.
    assert gap.max() < 0.05


def test_two_parabolas_have_the_textbook_front():
    """`½c²` and `½(c-1)²`: the point is `1-w`, the values `½(1-w)²` and `½w²`."""
    w = simplex_grid(2, 10)
    points, values = closed_form_front([[[1.0]], [[1.0]]], [[0.0], [-1.0]], [0.0, 0.5], w)
    assert points[:, 0] == pytest.approx(w[:, 1], abs=1e-15)
    assert values == pytest.approx(0.5 * (1 - w) ** 2, abs=1e-15)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), objectives=st.integers(1, 3), size=st.integers(1, 6))
def test_in_a_box_each_point_fulfils_the_optimality_conditions(seed, objectives, size):
    A, b, e = quadratics(seed, objectives, size)
    lower, upper = np.full(size, -0.3), np.linspace(0.05, 0.6, size)
    weights = simplex_grid(objectives, 3)
    points, values = closed_form_front(A, b, e, weights, bounds=(lower, upper))
    assert (points >= lower).all()
    assert (points <= upper).all()
    for w, c, v in zip(weights, points, values, strict=True):
        gradient = sum(w[n] * (A[n] @ c + b[n]) for n in range(objectives))
        tolerance = 1e-10
        assert (gradient[c > lower] <= tolerance).all()
        assert (gradient[c < upper] >= -tolerance).all()
        assert v == pytest.approx(value(A, b, e, c), rel=1e-12, abs=1e-12)


def test_a_box_is_met_whatever_the_units_of_the_coefficients():
    A, b, e = quadratics(2, 2, 3)
    unit = np.array([1e-4, 1.0, 1e4])
    w = simplex_grid(2, 4)
    plain, values = closed_form_front(A, b, e, w, bounds=(-0.2, 0.2))
    scaled, same = closed_form_front(A * unit[:, None] * unit, b * unit, e, w, bounds=(-0.2 / unit, 0.2 / unit))
    assert scaled * unit == pytest.approx(plain, abs=1e-11)
    assert same == pytest.approx(values, abs=1e-11)


def test_a_wide_box_changes_nothing_and_may_be_infinite():
    A, b, e = quadratics(1, 2, 3)
    free, _ = closed_form_front(A, b, e, simplex_grid(2, 4))
    boxed, _ = closed_form_front(A, b, e, simplex_grid(2, 4), bounds=(-np.inf, [9, np.inf, 9]))
    assert np.array_equal(free, boxed)


def test_increasing_links_change_the_values_and_not_the_points():
    A, b, e = quadratics(3, 2, 3)
    w = simplex_grid(2, 5)
    points, values = closed_form_front(A, b, e, w)
    linked_points, linked = closed_form_front(A, b, e, w, links=[expit, None])
    assert np.array_equal(points, linked_points)
    assert np.array_equal(linked[:, 0], expit(values[:, 0]))
    assert np.array_equal(linked[:, 1], values[:, 1])
    assert is_nondominated(linked).all()


def test_a_link_that_decreases_or_is_missing_is_refused():
    A, b, e = quadratics(3, 2, 3)
    w = simplex_grid(2, 5)
    with pytest.raises(DataError, match="link 1 decreases"):
        closed_form_front(A, b, e, w, links=[None, np.negative])
    with pytest.raises(DataError, match="1 links for 2 objectives"):
        closed_form_front(A, b, e, w, links=[None])
    with pytest.raises(DataError, match="link 0 does not return one finite number"):
        closed_form_front(A, b, e, w, links=[lambda v: v * np.nan, None])


def test_a_singular_weighted_curvature_is_named_by_its_weighting():
    A = np.array([np.eye(2), np.diag([1.0, 0.0])])
    b, e = np.zeros((2, 2)), np.zeros(2)
    points, _ = closed_form_front(A, b, e, [[1, 0], [0.01, 0.99]])
    assert points.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    with pytest.raises(PosteriorError, match=r"weighting 2 \(0, 1\) is not positive definite.*eigenvalue 0\)"):
        closed_form_front(A, b, e, [[1, 0], [0.5, 0.5], [0, 1]])


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_singularity_hidden_by_rounding_or_units_is_found(unit):
    direction = np.array([0.1, 0.7 * unit, 1.3])
    A = np.outer(direction, direction)[None] + np.diag([0.0, 0.0, 1e-3])
    with pytest.raises(PosteriorError, match="not positive definite"):
        closed_form_front(A, np.zeros((1, 3)), [0.0], [[1.0]])


def test_badly_scaled_but_definite_curvature_is_solved():
    A = np.diag([1e-12, 1.0, 1e12])[None]
    points, _ = closed_form_front(A, [[-1e-12, -1.0, -1e12]], [0.0], [[1.0]])
    assert points[0] == pytest.approx(np.ones(3), rel=1e-14)


def test_an_indefinite_curvature_is_refused():
    with pytest.raises(PosteriorError, match="are not convex"):
        closed_form_front(np.array([[[1.0, 2.0], [2.0, 1.0]]]), np.zeros((1, 2)), [0.0], [[1.0]])


GOOD = {
    "curvatures": np.eye(2)[None],
    "gradients": np.zeros((1, 2)),
    "constants": np.zeros(1),
    "weights": np.ones((1, 1)),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"curvatures": np.eye(2)}, "curvatures have shape \\[2, 2\\]"),
        ({"gradients": np.zeros((2, 2))}, "gradients have shape \\[2, 2\\], expected \\[1, 2\\]"),
        ({"constants": np.zeros(2)}, "constants have shape \\[2\\], expected \\[1\\]"),
        ({"constants": ["x"]}, "arrays of numbers"),
        ({"constants": [np.nan]}, "constants contain NaN"),
        ({"weights": np.ones((1, 2))}, "weights have shape \\[1, 2\\]"),
        ({"weights": [[-1.0]]}, "weights are negative \\(weighting 0\\)"),
        ({"curvatures": np.array([[[1.0, 0.1], [0.0, 1.0]]])}, "curvature 0 is not symmetric"),
        ({"bounds": (0.0, 0.0)}, "the box is empty: coefficient 0"),
        ({"bounds": ([0, 0, 0], 1)}, "bounds must be"),
        ({"bounds": (np.nan, 1.0)}, "the box is empty"),
    ],
)
def test_what_cannot_be_solved_says_why(change, message):
    with pytest.raises(DataError, match=message):
        closed_form_front(**{**GOOD, **change})


def test_the_inputs_are_not_written_to():
    A, b, e = quadratics(4, 2, 3)
    w = simplex_grid(2, 3)
    for array in (A, b, e, w):
        array.setflags(write=False)
    closed_form_front(A, b, e, w, bounds=(-0.1, 0.1))
