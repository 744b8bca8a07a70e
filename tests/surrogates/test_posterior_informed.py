from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from paretomerge.errors import DataError
from paretomerge.surrogates import PosteriorInformed, Quadratic, fit_surrogate, simplex_design
from paretomerge.testing.landscapes import SigmoidQuadratic
from paretomerge.types import Box, Objective, Scores, simplex_grid

TASKS = ("a", "b", "c")
BOX = Box(("a", "b"))


def predicted(weights):
    """What a posterior would predict: each task's loss grows with the distance to its corner."""
    distance = ((weights[:, None] - np.eye(weights.shape[1])) ** 2) @ np.linspace(0.7, 1.3, weights.shape[1])
    return 0.3 + distance


def no_losses(points):
    return np.zeros((len(points), 0))


def informed(tasks=3, **settings):
    return PosteriorInformed(predicted, TASKS[:tasks], **settings)


def test_without_evaluations_it_is_the_posteriors_own_prediction(scores_at):
    fitted = fit_surrogate(scores_at(np.zeros((0, 3)), np.zeros((0, 3)), metric="loss"), informed())
    grid = simplex_grid(3, 6)
    mean, stdev = fitted.predict(grid)
    assert mean == pytest.approx(predicted(grid), rel=1e-12)
    assert (stdev > 0.3).all()
    assert np.isnan(fitted.fit_quality).all()
    assert fitted.warnings == ()


def test_without_evaluations_another_metric_has_the_order_of_the_losses(scores_at):
    scores = scores_at(np.zeros((0, 3)), np.zeros((0, 3)), metric="accuracy", bounds=(0, 1), direction="maximise")
    fitted = fit_surrogate(scores, informed())
    grid = simplex_grid(3, 6)
    mean, expected = fitted.predict(grid)[0], predicted(grid)
    for found, loss in zip(mean.T, expected.T, strict=True):
        assert np.corrcoef(np.argsort(np.argsort(found)), np.argsort(np.argsort(-loss)))[0, 1] > 0.99
    assert fitted.warnings[0].startswith("a: 0 scores say nothing of its level and unit")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("residual", [False, True])
def test_a_wrong_scale_is_recovered_from_four_noisy_scores(scores_at, seed, residual):
    rng, weights, noise = np.random.default_rng(seed), simplex_design(3, 4), 0.01
    values = 0.1 + 2.5 * predicted(weights) + noise * rng.normal(size=(4, 3))
    fitted = fit_surrogate(scores_at(weights, values, noise, metric="loss"), informed(residual=residual))
    grid = simplex_grid(3, 8)
    error = np.abs(fitted.predict(grid)[0] - 0.1 - 2.5 * predicted(grid))
    assert error.max() < (0.25 if residual else 0.05)


@pytest.mark.parametrize(("residual", "at_most"), [(False, 0.995), (True, 0.998)])
def test_ninety_percent_intervals_cover_scales_and_bends(scores_at, residual, at_most):
    """Target 0.9 of the noise-free truths; budget: 40 problems. The truth has a bend no prediction knows of.

    It is smaller than a residual is expected to be, so that with nine scores the intervals are too wide.
    """
    covered = []
    for seed in range(40):
        rng, weights = np.random.default_rng(seed), simplex_design(3, 9)
        scale, level, bend = rng.normal(1.5, 0.5), rng.normal(0.0, 0.1), 0.1 * rng.normal(size=3)

        def truth(w, scale=scale, level=level, bend=bend):
            return level + scale * predicted(w) + np.sin(3 * w) @ bend[:, None]

        values = truth(weights) + 0.01 * rng.normal(size=(9, 3))
        fitted = fit_surrogate(scores_at(weights, values, 0.01, metric="loss"), informed(residual=residual))
        queries = rng.dirichlet(np.ones(3), 30)
        mean, stdev = fitted.predict(queries)
        covered.append(np.abs(mean - truth(queries)) < 1.645 * stdev)
    assert 0.8 < np.mean(covered) < at_most


def landscape(tasks, seed, count, useless=False):
    """Noisy scores of a landscape, what wrong posteriors say of it, and the truth at other points."""
    rng = np.random.default_rng(seed)
    truth = SigmoidQuadratic.random(tasks, "mild", rng)
    source = SigmoidQuadratic.random(tasks, "mild", np.random.default_rng(seed + 500)) if useless else truth
    wrong = source.wrong_posterior(rng)
    corners = np.concatenate([np.zeros((1, tasks)), np.eye(tasks), truth.domain.spread(64, seed)])
    queries = np.concatenate([rng.random((100, tasks)), truth.front_points(50)])
    return truth, wrong, truth.measure(corners[:count], rng), queries


def relative_error(fitted, truth, queries):
    expected = truth.scores(queries)
    return float(np.sqrt(((fitted.predict(queries)[0] - expected) ** 2).mean(0) / expected.var(0)).mean())


@pytest.mark.parametrize(("tasks", "count", "at_most"), [(2, 5, 0.8), (3, 8, 0.5), (4, 12, 0.6), (3, 40, 1.1)])
def test_wrong_posteriors_beat_quadratics_at_few_scores_and_are_no_worse_at_many(tasks, count, at_most):
    """Target: this share of the quadratic's error; budget: four landscapes."""
    ours, theirs = [], []
    for seed in range(4):
        truth, wrong, scores, queries = landscape(tasks, seed, count)
        fitted = fit_surrogate(scores, PosteriorInformed(wrong, truth.tasks), truth.domain)
        ours.append(relative_error(fitted, truth, queries))
        plain = fit_surrogate(scores, Quadratic(allow_underdetermined=True), truth.domain)
        theirs.append(relative_error(plain, truth, queries))
    assert np.exp(np.mean(np.log(ours)) - np.mean(np.log(theirs))) < at_most


@pytest.mark.parametrize("count", [15, 30])
def test_useless_posteriors_cost_little(count):
    """Target: at most 1.2 times the error of the same surrogate without posteriors; budget: six landscapes."""
    ratios = []
    for seed in range(6):
        truth, wrong, scores, queries = landscape(3, seed, count, useless=True)
        with_them = fit_surrogate(scores, PosteriorInformed(wrong, truth.tasks), truth.domain)
        without = fit_surrogate(scores, PosteriorInformed(no_losses, ()), truth.domain)
        ratios.append(relative_error(with_them, truth, queries) / relative_error(without, truth, queries))
    assert np.exp(np.mean(np.log(ratios))) < 1.2


def test_ninety_percent_intervals_cover_wrong_posteriors():
    """Target 0.9 of the noise-free truths; budget: 12 landscapes of 150 points by 3 objectives."""
    covered = []
    for seed in range(12):
        truth, wrong, scores, queries = landscape(3, seed, 10 + 2 * seed)
        mean, stdev = fit_surrogate(scores, PosteriorInformed(wrong, truth.tasks), truth.domain).predict(queries)
        covered.append(np.abs(mean - truth.scores(queries)) < 1.645 * stdev)
    assert 0.83 < np.mean(covered) < 0.97


def test_the_residual_makes_fronts_non_convex_when_scores_say_so(scores_at):
    weights = simplex_design(2, 17)
    bumpy = predicted(weights) + 0.5 * np.exp(-(((weights[:, :1] - 0.5) / 0.15) ** 2))
    scores = scores_at(weights, bumpy, metric="loss")
    grid = simplex_grid(2, 40)
    truth = predicted(grid) + 0.5 * np.exp(-(((grid[:, :1] - 0.5) / 0.15) ** 2))
    with_residual, without = (fit_surrogate(scores, informed(2, residual=on)) for on in (True, False))
    assert np.abs(with_residual.predict(grid)[0] - truth).max() < 0.05
    assert np.abs(without.predict(grid)[0] - truth).max() > 0.2


def test_other_metrics_are_learned_through_their_bounds(scores_at):
    weights = simplex_design(3, 10)
    accuracy = expit(2.0 - 1.5 * predicted(weights))
    scores = scores_at(weights, accuracy, metric="accuracy", bounds=(0.0, 1.0), direction="maximise")
    fitted = fit_surrogate(scores, informed())
    grid = simplex_grid(3, 8)
    assert fitted.predict(grid)[0] == pytest.approx(expit(2.0 - 1.5 * predicted(grid)), abs=5e-3)
    assert fitted.links()[0].name == "sigmoid"
    assert fit_surrogate(scores, informed(links="identity")).links()[0].name == "identity"


def test_losses_keep_the_identity_link_whatever_their_bounds(scores_at):
    weights = simplex_design(2, 4)
    scores = scores_at(weights, predicted(weights), metric="loss", bounds=(0.0, None))
    fitted = fit_surrogate(scores, informed(2))
    assert fitted.links()[0].name == "identity"
    assert fitted.predict(weights)[0] == pytest.approx(predicted(weights), abs=1e-3)


def test_an_objective_of_no_task_learns_from_all_losses():
    """The number of tokens, here a sum of both losses, is predicted where no score is near."""
    points = BOX.spread(9)
    tokens = 100 + 40 * predicted(points).sum(1, keepdims=True)
    scores = Scores(BOX.names, points, tokens, 0 * tokens, (Objective("tokens"),), "merged")
    fitted = fit_surrogate(scores, informed(2), BOX)
    queries = BOX.spread(40, seed=1)
    assert fitted.predict(queries)[0][:, 0] == pytest.approx(100 + 40 * predicted(queries).sum(1), rel=0.02)


def test_losses_are_asked_for_once_per_query_and_matched_by_task():
    asked = []

    def counted(points):
        asked.append(len(points))
        return predicted(points)[:, ::-1]

    points = BOX.spread(6)
    objectives = (Objective("a", metric="loss"), Objective("b", metric="loss"), Objective("size"))
    values = np.concatenate([predicted(points), points[:, :1]], 1)
    scores = Scores(BOX.names, points, values, 0 * values, objectives, "merged")
    fitted = fit_surrogate(scores, PosteriorInformed(counted, ("b", "a"), residual=False), BOX)
    asked.clear()
    queries = BOX.spread(30, seed=1)
    assert fitted.predict(queries)[0][:, :2] == pytest.approx(predicted(queries), abs=1e-3)
    assert asked == [30]


def test_losses_of_another_shape_are_refused(scores_at):
    scores = scores_at(simplex_design(2, 3), np.zeros((3, 2)), metric="loss")
    with pytest.raises(DataError, match=r"predicted_losses returned shape \[3, 2\] \(0 not finite\) for 3 points, exp"):
        fit_surrogate(scores, PosteriorInformed(predicted, ("a",)))
    with pytest.raises(DataError, match=r"\(6 not finite\).*one column for each of a, b"):
        fit_surrogate(scores, PosteriorInformed(lambda x: x * np.nan, ("a", "b")))


def test_a_narrow_prior_holds_the_scale(scores_at):
    weights = simplex_design(3, 4)
    scores = scores_at(weights, 2.5 * predicted(weights), 0.3, metric="loss")
    grid = simplex_grid(3, 6)
    narrow, wide = (
        np.ptp(fit_surrogate(scores, informed(prior_scale=scale, residual=False)).predict(grid)[0], axis=0)
        / np.ptp(predicted(grid), axis=0)
        for scale in (1e-3, 10.0)
    )
    assert narrow == pytest.approx(np.ones(3), abs=0.01)
    assert (wide > 1.8).all()


def test_the_fit_is_the_same_in_any_unit(scores_at):
    weights = simplex_design(3, 8)
    rng = np.random.default_rng(0)
    values = predicted(weights) + 0.1 * rng.standard_normal((8, 3))
    grid = simplex_grid(3, 5)
    small, large = (
        fit_surrogate(scores_at(weights, unit * values, 0.05 * unit), informed()).predict(grid) for unit in (1e-3, 1e4)
    )
    for one, other in zip(small, large, strict=True):
        assert one * 1e7 == pytest.approx(other, rel=1e-2)


@pytest.mark.parametrize("seed", range(3))
def test_errors_that_scores_share_do_not_blur_the_landscape(seed):
    """With scores on the same examples the surrogate follows differences sharper than the standard errors."""
    rng = np.random.default_rng(seed)
    truth = SigmoidQuadratic.random(2, "mild", rng)
    points = truth.domain.spread(30, seed)
    together = truth.measure_paired(points, rng, examples=200, likeness=0.98)
    alone = Scores(together.tasks, points, together.values, together.stderr, together.objectives, together.origin)
    surrogate = PosteriorInformed(truth.wrong_posterior(rng), truth.tasks)
    ours, theirs = (
        np.abs(fit_surrogate(scores, surrogate, truth.domain).predict(points)[0] - together.values).mean()
        for scores in (together, alone)
    )
    assert ours < theirs
