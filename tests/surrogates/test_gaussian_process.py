from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from paretomerge.errors import DataError, FailureError, MissingExtraError, WeightsError
from paretomerge.surrogates import Fitted, PlainGaussianProcess, fit_surrogate
from paretomerge.surrogates.gaussian_process import FittedGaussianProcess, matern
from paretomerge.testing import SigmoidQuadratic
from paretomerge.types import Box, Objective, Scores, Simplex

pytest.importorskip("botorch")

BOX = Box(("a", "b"))


def scored(points, values, stderr=0.0, objectives=None):
    values = np.asarray(values, dtype=np.float64).reshape(len(points), -1)
    objectives = objectives or tuple(Objective(f"o{m}") for m in range(values.shape[1]))
    names = tuple("abcdef"[: np.shape(points)[1]])
    return Scores(names, points, values, np.full_like(values, stderr), objectives, "merged")


def wavy(points):
    """Two objectives, neither quadratic nor convex."""
    x, y = points.T
    return np.stack([np.sin(6 * x) + y, 3 + np.cos(4 * x * y)], axis=1)


@pytest.fixture(scope="module")
def fitted():
    """Noisy scores of known standard error."""
    points = BOX.spread(14, 0)
    noise = 0.1 * np.random.default_rng(0).normal(size=(14, 2))
    return fit_surrogate(scored(points, wavy(points) + noise, 0.1), PlainGaussianProcess(), BOX)


def naive(process, noise, keep, queries):
    """Mean and variance with the constant mean integrated out, from the scores `keep`, as textbooks write it."""
    places, values = process.places[keep], process.standardised[keep]
    precision = np.linalg.inv(matern(places, places, process.lengths) + np.diag(noise[keep]))
    ones = np.ones(len(values))
    total = ones @ precision @ ones
    constant = ones @ precision @ values / total
    crossed = matern(queries, places, process.lengths)
    mean = constant + crossed @ precision @ (values - constant)
    missing = 1 - crossed @ precision @ ones
    variance = 1 - np.einsum("kn,nm,km->k", crossed, precision, crossed) + missing**2 / total
    return process.level + process.unit * mean, process.unit**2 * variance


def noise_of(process):
    covariance = np.linalg.inv(process.inverse)
    return (covariance - matern(process.places, process.places, process.lengths)).diagonal()


def test_it_is_what_every_fitted_surrogate_is(fitted):
    assert isinstance(fitted, Fitted)
    assert fitted.tasks == ("a", "b")
    assert fitted.domain is BOX
    assert [o.name for o in fitted.objectives] == ["o0", "o1"]
    assert len(fitted.scores) == 14
    assert fitted.surrogate == PlainGaussianProcess()


def test_predictions_are_those_of_botorch(fitted):
    """BoTorch's own posterior differs only by taking its constant mean for certain, which narrows it a little."""
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
    from gpytorch.mlls import ExactMarginalLogLikelihood

    queries = BOX.spread(30, 5)
    mean, stdev = fitted.predict(queries)
    for column in range(2):
        inputs = torch.tensor(fitted.scores.weights.copy())
        kernel = get_covar_module_with_dim_scaled_prior(ard_num_dims=2, use_rbf_kernel=False)
        values, variances = fitted.scores.values[:, [column]], fitted.scores.stderr[:, [column]] ** 2
        model = SingleTaskGP(inputs, torch.tensor(values), torch.tensor(variances), covar_module=kernel)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        found = model.posterior(torch.tensor(queries))
        assert mean[:, column] == pytest.approx(found.mean.detach().numpy()[:, 0], abs=5e-3)
        theirs = found.variance.detach().numpy()[:, 0] ** 0.5
        assert stdev[:, column] == pytest.approx(theirs, rel=0.1, abs=1e-3)
        assert (stdev[:, column] > theirs - 2e-3).all()


def test_mean_and_deviation_are_kriging_with_an_unknown_constant(fitted):
    queries = BOX.spread(20, 5)
    mean, stdev = fitted.predict(queries)
    for column, process in enumerate(fitted.processes):
        expected, variance = naive(process, noise_of(process), np.arange(14), queries)
        assert mean[:, column] == pytest.approx(expected, abs=1e-9)
        assert stdev[:, column] ** 2 == pytest.approx(variance, abs=1e-9)
        assert noise_of(process) == pytest.approx(np.full(14, (0.1 / process.unit) ** 2), rel=1e-6)


def test_left_out_scores_are_those_of_refitting_with_the_same_settings(fitted):
    for column, process in enumerate(fitted.processes):
        expected = [
            naive(process, noise_of(process), np.arange(14) != left, process.places[[left]])[0][0] for left in range(14)
        ]
        assert process.left_out() == pytest.approx(expected, abs=1e-9)
        values = fitted.scores.values[:, column]
        quality = 1 - np.mean((values - expected) ** 2) / np.var(values)
        assert fitted.fit_quality[column] == pytest.approx(quality)


def test_the_response_is_the_derivative_with_respect_to_the_scores(fitted):
    queries = BOX.spread(6, 5)
    response = fitted.response(queries)
    assert response.shape == (2, 6, 14)
    mean = fitted.predict(queries)[0]
    for column, process in enumerate(fitted.processes):
        for score in (0, 7):
            change = np.zeros(14)
            change[score] = 1e-3 / process.unit
            processes = list(fitted.processes)
            processes[column] = replace(process, standardised=process.standardised + change)
            moved = FittedGaussianProcess(fitted.surrogate, fitted.scores, BOX, tuple(processes)).predict(queries)[0]
            assert (moved - mean)[:, column] / 1e-3 == pytest.approx(response[column, :, score], abs=1e-9)


def test_an_error_that_all_scores_share_moves_every_prediction_by_as_much(fitted):
    assert fitted.response(BOX.spread(40, 2)).sum(axis=2) == pytest.approx(np.ones((2, 40)), abs=1e-9)


def test_draws_have_the_predicted_mean_and_the_joint_covariance(fitted):
    queries = np.array([[0.1, 0.1], [0.12, 0.1], [0.9, 0.95]])
    draws = fitted.sample(queries, 20_000, np.random.default_rng(0))
    assert draws.shape == (20_000, 3, 2)
    mean, stdev = fitted.predict(queries)
    assert draws.mean(axis=0) == pytest.approx(mean, abs=4 * stdev.max() / 20_000**0.5)
    assert draws.std(axis=0) == pytest.approx(stdev, rel=0.03)
    near, far = (np.corrcoef(draws[:, 0, 0], draws[:, k, 0])[0, 1] for k in (1, 2))
    assert near > 0.95
    assert abs(far) < 0.5
    assert abs(np.corrcoef(draws[:, 0, 0], draws[:, 0, 1])[0, 1]) < 0.03
    process = fitted.processes[0]
    precision = process.inverse
    prior = matern(queries, queries, process.lengths)
    crossed = matern(queries, process.places, process.lengths)
    missing = 1 - crossed @ precision.sum(axis=1)
    expected = prior - crossed @ precision @ crossed.T + np.outer(missing, missing) / precision.sum()
    assert np.cov(draws[:, :, 0].T) == pytest.approx(process.unit**2 * expected, abs=0.04 * stdev.max() ** 2)


def test_draws_depend_on_the_generator_only_and_stay_in_bounds():
    points = BOX.spread(8, 0)
    objective = (Objective("accuracy", "maximise", bounds=(0.0, 1.0)),)
    made = PlainGaussianProcess().fit(scored(points, (points[:, 0] > 0.5) * 1.0, objectives=objective), BOX)
    queries = BOX.spread(50, 1)
    one, other = (made.sample(queries, 20, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(one, other)
    assert one.min() == 0.0
    assert one.max() == 1.0


def test_exact_scores_are_interpolated_and_waves_are_found():
    points, queries = BOX.spread(40, 0), BOX.spread(200, 1)
    made = PlainGaussianProcess().fit(scored(points, wavy(points)), BOX)
    mean, stdev = made.predict(points)
    assert mean == pytest.approx(wavy(points), abs=0.02)
    assert stdev.max() < 0.05
    truth = wavy(queries)
    errors = made.predict(queries)[0] - truth
    assert (1 - np.mean(errors**2, axis=0) / np.var(truth, axis=0) > 0.98).all()
    assert (made.fit_quality > 0.9).all()
    assert made.warnings == ()


def test_known_noise_is_used_and_unknown_noise_is_estimated():
    rng = np.random.default_rng(0)
    points = BOX.spread(60, 0)
    values = wavy(points)[:, 0] + 0.3 * rng.normal(size=60)
    known = PlainGaussianProcess().fit(scored(points, values, 0.2), BOX).processes[0]
    assert noise_of(known) * known.unit**2 == pytest.approx(np.full(60, 0.04), rel=1e-6)
    unknown = PlainGaussianProcess().fit(scored(points, values), BOX).processes[0]
    assert noise_of(unknown) * unknown.unit**2 == pytest.approx(np.full(60, 0.09), rel=0.5)


def test_errors_shared_between_models_are_no_noise():
    points = BOX.spread(12, 0)
    values = wavy(points)[:, :1]
    shared = np.full((1, 12, 12), 0.09)
    scores = Scores(("a", "b"), points, values, np.full((12, 1), 0.31), (Objective("o"),), "merged", shared)
    process = PlainGaussianProcess().fit(scores, BOX).processes[0]
    assert noise_of(process) * process.unit**2 == pytest.approx(np.full(12, 0.31**2 - 0.09), rel=1e-6)


def test_intervals_hold_on_landscapes_of_merges():
    inside = []
    for seed in range(3):
        made = SigmoidQuadratic.random(3, "mild", np.random.default_rng(seed))
        scores = made.measure(made.domain.spread(30, 0), np.random.default_rng(seed))
        queries = made.domain.spread(200, 7)
        mean, stdev = PlainGaussianProcess().fit(scores, made.domain).predict(queries)
        inside.append(np.abs(mean - made.scores(queries)) < 1.645 * stdev)
    assert 0.75 < np.mean(inside) <= 1.0


def test_units_of_scores_and_sides_of_the_box_do_not_matter(fitted):
    scores = fitted.scores
    large = Box(("a", "b"), (-5.0, 0.0), (5.0, 0.1))
    moved = scored(large.from_cube(scores.weights), 1000 * scores.values + 7, 100.0)
    again = PlainGaussianProcess().fit(moved, large)
    queries = BOX.spread(20, 3)
    mean, stdev = fitted.predict(queries)
    other = again.predict(large.from_cube(queries))
    assert other[0] == pytest.approx(1000 * mean + 7, abs=2.0)
    assert other[1] == pytest.approx(1000 * stdev, abs=2.0)


def test_it_works_on_the_simplex_and_refuses_points_off_it():
    simplex = Simplex(("a", "b", "c"))
    points = simplex.spread(20, 0)
    made = PlainGaussianProcess().fit(scored(points, (points**2).sum(axis=1)), simplex)
    queries = simplex.spread(50, 1)
    errors = made.predict(queries)[0][:, 0] - (queries**2).sum(axis=1)
    assert np.mean(errors**2) < 0.03**2
    for verb in (made.predict, made.response, made.extrapolates):
        with pytest.raises(WeightsError, match="weights sum to 3, not 1"):
            verb(np.ones((1, 3)))


def test_far_from_all_scores_it_says_that_it_extrapolates():
    box = Box(("a", "b"), 0.0, 3.0)
    points = BOX.spread(25, 0)
    made = PlainGaussianProcess().fit(scored(points, wavy(points)), box)
    assert made.extrapolates([[0.5, 0.5], [2.9, 2.9]]).tolist() == [False, True]


def test_predicted_scores_are_never_taken_for_measured(fitted):
    found = fitted.predict_scores([[0.2, 0.4]])
    assert found.origin == ("predicted",)
    assert found.values == pytest.approx(fitted.predict([[0.2, 0.4]])[0])
    assert found.stderr == pytest.approx(fitted.predict([[0.2, 0.4]])[1])


def test_scores_that_do_not_vary_and_repeated_points_that_disagree_are_survived():
    flat = PlainGaussianProcess().fit(scored(BOX.spread(6, 0), np.full(6, 0.7)), BOX)
    assert flat.predict(BOX.spread(9, 1))[0] == pytest.approx(np.full((9, 1), 0.7))
    assert np.isnan(flat.fit_quality).all()
    repeated = np.array([[0.2, 0.2], [0.2, 0.2], [0.8, 0.8], [0.8, 0.8]])
    mean, _ = PlainGaussianProcess().fit(scored(repeated, [0.0, 0.2, 1.0, 1.2], 0.1), BOX).predict(repeated)
    assert mean[:, 0] == pytest.approx([0.1, 0.1, 1.1, 1.1], abs=0.1)


def test_few_scores_are_fitted_with_a_warning_and_bad_fits_are_told():
    two = PlainGaussianProcess().fit(scored([[0.0, 0.0], [1.0, 1.0]], [0.0, 1.0]), BOX)
    assert two.predict([[0.5, 0.5]])[0][0, 0] == pytest.approx(0.5)
    assert two.warnings == ("o0: 2 scores say little about 2 length scales; they are the prior's",)
    assert np.isnan(two.fit_quality).all()
    noise = np.random.default_rng(2).normal(size=(12, 4))
    bad = PlainGaussianProcess().fit(scored(BOX.spread(12, 0), noise, 0.05), BOX)
    worst = [f"o{m}" for m in range(4) if bad.fit_quality[m] < 0]
    assert worst
    assert [warning.split(":")[0] for warning in bad.warnings] == worst
    assert "each of 12 scores is predicted from the others worse than by their mean" in bad.warnings[0]


def test_one_score_is_too_few():
    with pytest.raises(DataError, match="a Gaussian process needs at least 2 scored points, got 1: evaluate more"):
        PlainGaussianProcess().fit(scored([[0.0, 0.0]], [0.0]), BOX)


def test_too_many_points_are_not_drawn_jointly(fitted):
    with pytest.raises(DataError, match="4001 points to draw jointly, at most 4000 are possible"):
        fitted.sample(np.zeros((4001, 2)), 1, np.random.default_rng(0))


def test_the_global_random_state_is_left_alone_and_fits_repeat(fitted):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    again = PlainGaussianProcess().fit(fitted.scores, BOX)
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(again.predict(BOX.spread(5, 1))[0], fitted.predict(BOX.spread(5, 1))[0])


def test_a_missing_botorch_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "botorch.fit", None)
    with pytest.raises(MissingExtraError, match=r"'botorch'.*paretomerge\[search\]"):
        PlainGaussianProcess().fit(scored(BOX.spread(4, 0), np.arange(4.0)), BOX)


def test_a_failure_inside_botorch_is_translated(monkeypatch):
    import botorch.fit
    from botorch.exceptions.errors import ModelFittingError

    def fail(likelihood):
        raise ModelFittingError("all attempts failed")

    monkeypatch.setattr(botorch.fit, "fit_gpytorch_mll", fail)
    with pytest.raises(
        FailureError, match="BoTorch could not fit a Gaussian process to 4 scores: look for scores that"
    ):
        PlainGaussianProcess().fit(scored(BOX.spread(4, 0), np.arange(4.0)), BOX)
