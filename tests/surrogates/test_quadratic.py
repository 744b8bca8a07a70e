from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from paretomerge.errors import DataError
from paretomerge.surrogates import Quadratic, fit_surrogate, simplex_design
from paretomerge.types import Box, Objective, Scores, simplex_grid


def held_out_r2(fitted, truth, tasks):
    queries = np.random.default_rng(99).dirichlet(np.ones(tasks), 300)
    expected = truth(queries)
    errors = fitted.predict(queries)[0] - expected
    return 1 - (errors**2).mean(0) / expected.var(0)


def design(tasks):
    """1.5 times as many weightings as coefficients."""
    return simplex_design(tasks, math.ceil(1.5 * tasks * (tasks + 1) / 2))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tasks", [1, 2, 3, 4, 5])
def test_a_sigmoid_quadratic_truth_is_recovered(random_quadratic, scores_at, tasks, seed):
    eta = random_quadratic(tasks, seed)
    weights = design(tasks) if tasks > 1 else np.ones((1, 1))
    fitted = fit_surrogate(
        scores_at(weights, expit(eta(weights)), bounds=(0.0, 1.0), direction="maximise"), Quadratic()
    )
    if tasks == 1:
        assert fitted.predict([[1.0]])[0] == pytest.approx(expit(eta(weights)), abs=1e-6)
    else:
        assert (held_out_r2(fitted, lambda queries: expit(eta(queries)), tasks) > 0.99).all()


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_with_the_identity_link_a_quadratic_truth_is_exact(random_quadratic, scores_at, tasks):
    eta = random_quadratic(tasks, 5)
    weights = design(tasks)
    fitted = fit_surrogate(scores_at(weights, eta(weights)), Quadratic(links="identity"))
    queries = simplex_grid(tasks, 7)
    mean, stdev = fitted.predict(queries)
    assert mean == pytest.approx(eta(queries), abs=1e-5)
    assert (stdev < 1e-4).all()
    assert (fitted.fit_quality > 0.999).all()


def test_noise_of_half_a_percent_costs_little(random_quadratic, scores_at):
    for seed in range(4):
        eta, rng = random_quadratic(3, seed), np.random.default_rng(seed)
        weights = simplex_design(3, 12)
        noisy = expit(eta(weights)) + 0.005 * rng.normal(size=(12, 3))
        fitted = fit_surrogate(scores_at(weights, noisy, 0.005, bounds=(0.0, 1.0)), Quadratic())
        assert (held_out_r2(fitted, lambda queries, eta=eta: expit(eta(queries)), 3) > 0.9).all()


@pytest.mark.parametrize(("tasks", "count", "noise"), [(2, 6, 0.01), (3, 12, 0.02)])
def test_ninety_percent_intervals_cover(random_quadratic, scores_at, tasks, count, noise):
    """Target 0.9 of the truths; budget: 30 problems × 30 weightings × T objectives."""
    covered = []
    for seed in range(30):
        eta, rng = random_quadratic(tasks, seed), np.random.default_rng(seed)
        weights = simplex_design(tasks, count)
        values = expit(eta(weights)) + noise * rng.normal(size=(count, tasks))
        fitted = fit_surrogate(scores_at(weights, values, noise, bounds=(0.0, 1.0)), Quadratic())
        queries = rng.dirichlet(np.ones(tasks), 30)
        mean, stdev = fitted.predict(queries)
        covered.append(np.abs(mean - expit(eta(queries))) < 1.645 * stdev)
    assert 0.8 < np.mean(covered) < 0.99


def test_too_few_scores_are_refused_unless_that_is_wanted(scores_at):
    weights = simplex_design(3, 5)
    scores = scores_at(weights, weights)
    with pytest.raises(
        DataError,
        match="a quadratic in 3 coordinates has 6 coefficients: it needs at least 6 scored points, got 5",
    ):
        fit_surrogate(scores, Quadratic())
    fitted = fit_surrogate(scores, Quadratic(allow_underdetermined=True))
    assert fitted.warnings[0] == "a: 5 scores determine 5 of 6 coefficients; the rest is the prior"
    assert len(fitted.warnings) == 3


def test_what_the_design_leaves_open_is_uncertain(scores_at):
    corners = simplex_design(2, 2)
    fitted = fit_surrogate(scores_at(corners, [[0.2, 0.8], [0.8, 0.2]]), Quadratic(allow_underdetermined=True))
    stdev = fitted.predict([[1.0, 0.0], [0.5, 0.5]])[1]
    assert (stdev[1] > 10 * stdev[0]).all()


def test_without_scores_there_is_only_the_prior(scores_at):
    scores = scores_at(np.zeros((0, 2)), np.zeros((0, 2)))
    fitted = fit_surrogate(scores, Quadratic(allow_underdetermined=True))
    assert fitted.predict([[0.5, 0.5]])[0].tolist() == [[0.0, 0.0]]


def test_predictions_respect_the_bounds(random_quadratic, scores_at):
    weights = design(3)
    steep = expit(5 * random_quadratic(3, 1)(weights))
    fitted = fit_surrogate(scores_at(weights, steep, bounds=(0.0, 1.0)), Quadratic())
    mean = fitted.predict(simplex_grid(3, 12))[0]
    assert (mean >= 0).all()
    assert (mean <= 1).all()


def test_an_unscored_corner_is_expected_near_the_mean_score(scores_at):
    two_corners = simplex_design(3, 2)
    scores = scores_at(two_corners, [[0.5, 0.5, 0.5], [0.7, 0.7, 0.7]])
    fitted = fit_surrogate(scores, Quadratic(allow_underdetermined=True))
    assert fitted.predict([[0.0, 0.0, 1.0]])[0] == pytest.approx(0.6, abs=1e-6)


def concave(dimension, seed):
    """`(A, b, e)` of a convex quadratic for each of two objectives."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((2, dimension, dimension)) / dimension**0.5
    return root @ root.transpose(0, 2, 1) + 0.3 * np.eye(dimension), rng.standard_normal((2, dimension)), np.ones(2)


def quadratic_values(form, points):
    A, b, e = form
    return 0.5 * np.einsum("ki,mij,kj->km", points, A, points) + points @ b.T + e


BOX = Box(("a", "b", "c"), (-0.5, 0.0, 0.0), (1.0, 1.0, 2.0))
OBJECTIVES = (Objective("loss"), Objective("score", "maximise", bounds=(0.0, 1.0)))


def boxed(points, form, noise=0.0, seed=0):
    """Exact or noisy scores: a loss, and a bounded score that is the sigmoid of minus its quadratic."""
    eta = quadratic_values(form, points)
    values = np.stack([eta[:, 0], expit(-eta[:, 1])], 1)
    values = values + noise * np.random.default_rng(seed).standard_normal(values.shape)
    return Scores(BOX.names, points, values, np.full_like(values, noise), OBJECTIVES, "merged")


@pytest.mark.parametrize("shape", ["free", "convex"])
def test_in_a_box_quadratics_are_recovered_as_those_of_minimised_objectives(shape):
    form = concave(3, 0)
    fitted = fit_surrogate(boxed(BOX.spread(20), form), Quadratic(shape=shape), BOX)
    for found, expected in zip(fitted.quadratics(), form, strict=True):
        assert found == pytest.approx(expected, abs=2e-3)
    queries = BOX.spread(50, seed=1)
    eta = quadratic_values(fitted.quadratics(), queries)
    assert fitted.predict(queries)[0] == pytest.approx(np.stack([eta[:, 0], expit(-eta[:, 1])], 1), abs=1e-4)


def test_on_the_simplex_quadratics_are_forms_in_the_weights(random_quadratic, scores_at):
    truth, weights = random_quadratic(3, 1), design(3)
    fitted = fit_surrogate(scores_at(weights, -truth(weights), direction="maximise"), Quadratic())
    queries = simplex_grid(3, 6)
    assert quadratic_values(fitted.quadratics(), queries) == pytest.approx(truth(queries), abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_a_convex_shape_is_kept_against_noise_and_predicts_better(seed):
    form, points = concave(3, seed), BOX.spread(13, seed=seed)
    scores = boxed(points, form, 0.15, seed)
    free, convex = (fit_surrogate(scores, Quadratic(shape=shape), BOX) for shape in ("free", "convex"))
    assert np.linalg.eigvalsh(free.quadratics()[0]).min() < -0.01
    assert np.linalg.eigvalsh(convex.quadratics()[0]).min() > -1e-9
    queries = BOX.spread(100, seed=9)
    truth = boxed(queries, form).values
    errors = [((one.predict(queries)[0] - truth) ** 2).mean() for one in (free, convex)]
    assert errors[1] < errors[0]
    assert np.isfinite(convex.fit_quality).all()
    assert convex.fit_quality[0] > free.fit_quality[0] - 0.1


def test_a_truth_that_is_not_convex_is_misfit_of_a_convex_shape():
    points = BOX.spread(30)
    bent = np.stack([-3 * points[:, 0] ** 2, expit(3 * points[:, 0] ** 2 - 1)], 1)
    scores = Scores(BOX.names, points, bent, 0 * bent, OBJECTIVES, "merged")
    fitted = fit_surrogate(scores, Quadratic(shape="convex"), BOX)
    assert np.linalg.eigvalsh(fitted.quadratics()[0]).min() > -1e-9
    errors = np.abs(fitted.predict(points)[0] - bent)
    assert errors.max() > 0.1
    assert (errors < 3 * fitted.predict(points)[1]).mean() > 0.9


def test_on_the_simplex_a_convex_shape_is_convex_along_it(scores_at):
    weights = design(3)
    scores = scores_at(weights, np.random.default_rng(0).standard_normal((len(weights), 3)))
    fitted = fit_surrogate(scores, Quadratic(shape="convex"))
    along = np.array([[1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]])
    assert np.linalg.eigvalsh(along.T @ fitted.quadratics()[0] @ along).min() > -1e-9


@pytest.mark.parametrize("tasks", [2, 4, 8])
def test_in_a_box_held_out_quality_is_high_at_one_and_a_half_times_the_coefficients(tasks):
    from paretomerge.testing.landscapes import SigmoidQuadratic

    for curvature in ("mild", "strong"):
        truth = SigmoidQuadratic.random(tasks, curvature, np.random.default_rng(tasks))
        points = truth.domain.spread(math.ceil(0.75 * (tasks + 1) * (tasks + 2)))
        exact = truth.scores(points)
        scores = Scores(truth.tasks, points, exact, 0 * exact, truth.objectives, "merged")
        fitted = fit_surrogate(scores, Quadratic(), truth.domain)
        queries = truth.domain.spread(200, seed=1)
        expected = truth.scores(queries)
        errors = fitted.predict(queries)[0] - expected
        assert (1 - (errors**2).mean(0) / expected.var(0) > 0.99).all()


def test_repeated_weightings_do_not_determine_more(scores_at):
    weights = np.repeat(simplex_design(2, 2), 3, axis=0)
    fitted = fit_surrogate(scores_at(weights, weights), Quadratic())
    assert fitted.warnings[0].startswith("a: 6 scores determine 2 of 3 coefficients")


def test_predictions_that_are_worse_than_the_mean_are_warned_about(scores_at):
    weights = simplex_design(2, 12)
    values = np.stack([weights[:, 0], np.random.default_rng(0).normal(size=12)], axis=1)
    fitted = fit_surrogate(scores_at(weights, values), Quadratic())
    assert fitted.fit_quality[0] > 0.9
    assert fitted.fit_quality[1] < 0
    (warning,) = fitted.warnings
    assert warning.startswith("b: each of 12 scores is predicted from the others worse than by their mean")


def test_errors_that_scores_share_are_no_noise_of_the_fit(scores_at):
    weights = simplex_design(2, 12)
    values = np.sin(9 * weights) / 10 + weights
    alone = scores_at(weights, values, 0.2)
    together = Scores(
        alone.tasks, weights, values, alone.stderr, alone.objectives, "merged", np.full((2, 12, 12), 0.04 - 1e-12)
    )
    loose, tight = (fit_surrogate(scores, Quadratic()) for scores in (alone, together))
    assert tight.predict(weights)[1].mean() < 0.8 * loose.predict(weights)[1].mean()
