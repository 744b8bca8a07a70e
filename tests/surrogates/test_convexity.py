from __future__ import annotations

from itertools import combinations, combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from paretomerge.errors import DataError
from paretomerge.surrogates.convexity import feature_hessians, fit_convex, simplex_tangent
from paretomerge.surrogates.links import identity_link, sigmoid_link, softplus_link
from paretomerge.testing import SigmoidQuadratic

LINKS = {"identity": identity_link(), "sigmoid": sigmoid_link(), "softplus": softplus_link()}


def box_features(points):
    """One, the coordinates, then all squares and products; and the Hessians of these."""
    size = points.shape[1]
    pairs = list(combinations_with_replacement(range(size), 2))
    columns = [np.ones((len(points), 1)), points, *(points[:, [i]] * points[:, [j]] for i, j in pairs)]
    return np.concatenate(columns, axis=1), feature_hessians([None] * (size + 1) + pairs, size)


def saddle(size, count, link, seed, noise=0.05):
    """Scores of a random quadratic that is not convex, and everything `fit_convex` wants to know about them."""
    rng = np.random.default_rng(seed)
    features, hessians = box_features(rng.uniform(size=(count, size)))
    beta = rng.normal(size=features.shape[1])
    values = link.value(features @ beta) + noise * rng.normal(size=count)
    prior = np.zeros(features.shape[1]), rng.uniform(1.0, 9.0, size=features.shape[1])
    return features, values, np.full(count, noise**2), link, *prior, hessians


def squares(beta, features, values, noise, link, mean, variance, hessians, sign=1.0):
    """What is minimised, written out."""
    return 0.5 * np.sum((values - link.value(features @ beta)) ** 2 / noise) + 0.5 * np.sum(
        (beta - mean) ** 2 / variance
    )


def by_cholesky(problem, sign, starts):
    """The same minimum found by an unconstrained search over affine parts and Cholesky factors of the curvature."""
    size = problem[-1].shape[1]
    rows, columns = np.tril_indices(size)
    upper = list(combinations_with_replacement(range(size), 2))

    def coefficients(parameters):
        factor = np.zeros((size, size))
        factor[rows, columns] = parameters[size + 1 :]
        curvature = sign * factor @ factor.T
        return np.concatenate([parameters[: size + 1], [curvature[i, j] / (2 if i == j else 1) for i, j in upper]])

    found = [
        minimize(lambda p: squares(coefficients(p), *problem), start, method="BFGS", options={"gtol": 1e-9})
        for start in starts
    ]
    best = min(found, key=lambda result: result.fun)
    return coefficients(best.x), best.fun


def assert_optimal(fit, problem, sign, floor=0.0, tolerance=1e-5):
    """Karush, Kuhn and Tucker: feasible, a multiplier in the cone, orthogonal to the slack, gradients in balance."""
    features, values, noise, link, mean, variance, hessians = problem
    eta = features @ fit.coefficients
    gradient = (
        -features.T @ (link.slope(eta) * (values - link.value(eta)) / noise) + (fit.coefficients - mean) / variance
    )
    pushed = sign * np.einsum("fij,ij->f", hessians, fit.multiplier)
    size = max(np.abs(features.T / noise).max(), 1.0)
    assert np.abs(gradient - pushed).max() < tolerance * size
    assert np.linalg.eigvalsh(fit.curvature)[0] >= floor - 1e-9
    assert np.linalg.eigvalsh(fit.multiplier)[0] >= -1e-12
    slack = fit.curvature - floor * np.eye(len(fit.curvature))
    assert np.trace(fit.multiplier @ slack) < 1e-7 + 1e-10 * np.trace(fit.multiplier) * np.trace(slack)
    assert np.allclose(fit.curvature, sign * np.tensordot(fit.coefficients, hessians, axes=1))


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_an_independent_solver_finds_the_same_minimum(size, sign, link):
    active = 0
    for seed in range(2):
        problem = saddle(size, 25, LINKS[link], seed)
        fit = fit_convex(*problem, sign)
        rng = np.random.default_rng(seed)
        starts = [rng.normal(size=size + 1 + size * (size + 1) // 2) for _ in range(2)]
        expected, value = by_cholesky(problem, sign, starts)
        assert squares(fit.coefficients, *problem) <= value + 1e-7
        assert squares(fit.coefficients, *problem) == pytest.approx(value, abs=1e-4)
        assert fit.coefficients == pytest.approx(expected, abs=2e-2)
        active += np.trace(fit.multiplier) > 0
    assert active or size == 1


@settings(max_examples=40)
@given(
    size=st.integers(1, 6),
    extra=st.integers(-10, 40),
    link=st.sampled_from(sorted(LINKS)),
    sign=st.sampled_from([1.0, -1.0]),
    floor=st.sampled_from([0.0, 0.1, 1.0]),
    seed=st.integers(0, 10**6),
)
def test_the_conditions_of_optimality_hold(size, extra, link, sign, floor, seed):
    count = max((size + 1) * (size + 2) // 2 + extra, 1)
    problem = saddle(size, count, LINKS[link], seed)
    assert_optimal(fit_convex(*problem, sign, floor=floor), problem, sign, floor)


def test_a_fit_that_is_convex_by_itself_is_left_alone():
    rng = np.random.default_rng(0)
    points = rng.uniform(size=(40, 3))
    features, hessians = box_features(points)
    factor = rng.normal(size=(3, 3))
    values = 0.5 * np.sum((points @ factor) ** 2, axis=1) + points @ rng.normal(size=3)
    prior = np.zeros(features.shape[1]), np.full(features.shape[1], 100.0)
    fit = fit_convex(features, values, np.full(40, 1e-10), identity_link(), *prior, hessians)
    assert fit.curvature == pytest.approx(factor @ factor.T, abs=1e-6)
    assert not fit.multiplier.any()
    white = np.concatenate([features * 1e5, np.eye(len(prior[0])) / 10])
    target = np.concatenate([values * 1e5, np.zeros(len(prior[0]))])
    assert fit.coefficients == pytest.approx(np.linalg.lstsq(white, target, rcond=None)[0], abs=1e-8)


def test_exact_scores_of_a_saddle_under_a_wide_prior_still_converge():
    """Precisions twelve orders of magnitude apart."""
    for seed in range(3):
        features, values, _, link, mean, _, hessians = saddle(4, 40, identity_link(), seed, noise=0.0)
        problem = features, values, np.full(40, 1e-10), link, mean, np.full(len(mean), 100.0), hessians
        fit = fit_convex(*problem)
        assert np.trace(fit.multiplier) > 0
        assert_optimal(fit, problem, 1.0, tolerance=1e-6)


def test_scores_of_concave_landscapes_are_recovered_through_the_sigmoid():
    made = SigmoidQuadratic.random(4, "strong", np.random.default_rng(0))
    points = made.domain.spread(22, 0)
    features, hessians = box_features(points)
    exact = made.scores(points)
    prior = np.zeros(features.shape[1]), np.full(features.shape[1], 400.0)
    for task in range(4):
        fit = fit_convex(features, exact[:, task], np.full(22, 1e-12), sigmoid_link(), *prior, hessians, -1.0)
        assert fit.curvature == pytest.approx(made.quadratics.curvatures[task], abs=1e-3)


def test_the_constraint_helps_where_scores_are_few_and_noisy():
    errors = []
    for seed in range(8):
        made = SigmoidQuadratic.random(3, "mild", np.random.default_rng(seed))
        points, unseen = made.domain.spread(12, 0), made.domain.spread(300, 1)
        scores = made.measure(points, np.random.default_rng(seed), examples=300)
        features, hessians = box_features(points)
        free = np.zeros((features.shape[1], 0, 0))
        prior = np.zeros(features.shape[1]), np.full(features.shape[1], 25.0)
        for task in range(3):
            data = features, scores.values[:, task], scores.stderr[:, task] ** 2, sigmoid_link(), *prior
            truth = made.scores(unseen)[:, task]
            predictions = [
                sigmoid_link().value(box_features(unseen)[0] @ fit_convex(*data, h, -1.0).coefficients)
                for h in (free, hessians)
            ]
            errors.append([np.mean((p - truth) ** 2) for p in predictions])
    free, convex = np.mean(errors, axis=0)
    assert convex < 0.9 * free


def test_correlated_noise_is_whitened():
    features, values, noise, link, mean, variance, hessians = saddle(2, 20, identity_link(), 1)
    rng = np.random.default_rng(0)
    factor = 0.2 * rng.normal(size=(20, 20))
    covariance = factor @ factor.T + np.diag(noise)
    root = np.linalg.cholesky(covariance)
    white = np.linalg.solve(root, features), np.linalg.solve(root, values), np.ones(20)
    expected = fit_convex(*white, link, mean, variance, hessians)
    fit = fit_convex(features, values, covariance, link, mean, variance, hessians)
    assert fit.coefficients == pytest.approx(expected.coefficients, abs=1e-6)
    diagonal = fit_convex(features, values, np.diag(noise), link, mean, variance, hessians)
    same = fit_convex(features, values, noise, link, mean, variance, hessians)
    assert diagonal.coefficients == pytest.approx(same.coefficients, abs=1e-6)


def test_the_root_is_that_of_the_gauss_newton_precision_in_units_of_the_prior():
    features, values, noise, link, mean, variance, hessians = saddle(2, 20, sigmoid_link(), 1)
    fit = fit_convex(features, values, noise, link, mean, variance, hessians)
    slope = link.slope(features @ fit.coefficients)[:, None] * features * np.sqrt(variance)
    assert fit.root.T @ fit.root == pytest.approx(slope.T @ (slope / noise[:, None]) + np.eye(len(mean)))


def test_an_earlier_fit_is_a_start():
    problem = saddle(3, 30, softplus_link(), 2)
    fit = fit_convex(*problem)
    again = fit_convex(*problem, start=fit.coefficients)
    assert again.coefficients == pytest.approx(fit.coefficients, abs=1e-4)


def test_without_scores_the_nearest_convex_prior_is_returned():
    features, hessians = box_features(np.zeros((0, 2)))
    nothing = features, np.zeros(0), np.zeros(0), identity_link()
    mean = np.array([1.0, 0.0, 0.0, 0.5, 0.0, -0.5])
    fit = fit_convex(*nothing, mean, np.ones(6), hessians)
    assert fit.coefficients == pytest.approx([1.0, 0.0, 0.0, 0.5, 0.0, 0.0], abs=1e-4)
    assert fit_convex(*nothing, 0 * mean, np.ones(6), hessians).coefficients.tolist() == [0.0] * 6


def test_hessians_are_second_derivatives_along_the_domain():
    pairs = [None, None, (0, 0), (0, 2), (1, 2)]
    hessians = feature_hessians(pairs, 3)
    rng = np.random.default_rng(0)
    direction = rng.normal(size=3)

    def feature(pair, x):
        return x[pair[0]] * x[pair[1]] if pair else x[0]

    point, step = rng.normal(size=3), 1e-3
    for pair, hessian in zip(pairs, hessians, strict=True):
        second = sum(k * feature(pair, point + s * step * direction) for s, k in ((1, 1), (0, -2), (-1, 1))) / step**2
        assert second == pytest.approx(direction @ hessian @ direction, abs=1e-8)
    tangent = simplex_tangent(3)
    assert feature_hessians(pairs, 3, tangent) == pytest.approx(np.array([tangent.T @ h @ tangent for h in hessians]))


@pytest.mark.parametrize("tasks", [1, 2, 3, 7])
def test_the_simplex_tangent_is_orthonormal_and_keeps_sums(tasks):
    tangent = simplex_tangent(tasks)
    assert tangent.shape == (tasks, tasks - 1)
    assert tangent.T @ tangent == pytest.approx(np.eye(tasks - 1))
    assert np.abs(tangent.sum(axis=0)).max(initial=0.0) < 1e-14


def test_on_the_simplex_products_alone_can_be_made_convex():
    tasks, rng = 3, np.random.default_rng(0)
    points = rng.dirichlet(np.ones(tasks), size=30)
    pairs = list(combinations(range(tasks), 2))
    features = np.concatenate([points, *(points[:, [i]] * points[:, [j]] for i, j in pairs)], axis=1)
    hessians = feature_hessians([None] * tasks + pairs, tasks, simplex_tangent(tasks))
    values = features @ rng.normal(size=6) + 3 * points[:, 0] * points[:, 1]
    problem = features, values, np.full(30, 1e-4), identity_link(), np.zeros(6), np.full(6, 100.0), hessians
    fit = fit_convex(*problem)
    assert np.trace(fit.multiplier) > 0
    assert_optimal(fit, problem, 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({6: np.zeros((3, 2, 2))}, r"Hessians have shape \[3, 2, 2\] for 6 features, expected \[features, P, P\]"),
        ({6: np.zeros((6, 2))}, r"Hessians have shape \[6, 2\] for 6 features"),
        ({6: np.eye(6)[:, :1, None] - np.eye(6)[:, :1, None]}, "no coefficients make the curvature positive definite"),
        ({1: np.full(20, np.nan)}, "features, values or the prior of a convex fit contain NaN or infinity"),
        ({5: np.zeros(6)}, "prior variances of a convex fit must be positive"),
        ({2: np.zeros(20)}, "noise variances of a convex fit must be positive and finite"),
        ({2: -np.eye(20)}, "the covariance of the noise is not positive definite"),
    ],
)
def test_impossible_problems_are_refused(change, message):
    problem = list(saddle(2, 20, identity_link(), 0))
    for place, replacement in change.items():
        problem[place] = replacement
    with pytest.raises(DataError, match=message):
        fit_convex(*problem, floor=0.1)
