from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from paretomerge.errors import DataError
from paretomerge.surrogates import PosteriorInformed, fit_surrogate, simplex_design
from paretomerge.types import Objective, Scores, simplex_grid


def predicted(weights):
    """What a posterior would predict: each task's loss grows with the distance to its corner."""
    distance = ((weights[:, None] - np.eye(weights.shape[1])) ** 2) @ np.linspace(0.7, 1.3, weights.shape[1])
    return 0.3 + distance


def test_without_evaluations_it_is_the_posteriors_own_prediction(scores_at):
    fitted = fit_surrogate(scores_at(np.zeros((0, 3)), np.zeros((0, 3)), metric="loss"), PosteriorInformed(predicted))
    grid = simplex_grid(3, 6)
    mean, stdev = fitted.predict(grid)
    assert mean == pytest.approx(predicted(grid), rel=1e-12)
    assert (stdev > 0.3).all()
    assert np.isnan(fitted.fit_quality).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_wrong_scale_is_recovered_from_four_noisy_scores(scores_at, seed):
    rng, weights, noise = np.random.default_rng(seed), simplex_design(3, 4), 0.01
    values = 0.1 + 2.5 * predicted(weights) + noise * rng.normal(size=(4, 3))
    fitted = fit_surrogate(scores_at(weights, values, noise, metric="loss"), PosteriorInformed(predicted))
    for regression in fitted.regressions:
        assert regression.coefficients == pytest.approx([0.1, 2.5], abs=0.06)
    grid = simplex_grid(3, 8)
    assert fitted.predict(grid)[0] == pytest.approx(0.1 + 2.5 * predicted(grid), abs=0.05)


def test_ninety_percent_intervals_cover_scales_and_misfits(scores_at):
    """Target 0.9; budget: 60 problems. The truth has a bend the prediction does not know of."""
    covered = []
    for seed in range(60):
        rng, weights = np.random.default_rng(seed), simplex_design(3, 9)
        scale, level, bend = rng.normal(1.5, 0.5), rng.normal(0.0, 0.1), 0.1 * rng.normal(size=3)

        def truth(w, scale=scale, level=level, bend=bend):
            return level + scale * predicted(w) + np.sin(3 * w) @ bend[:, None]

        values = truth(weights) + 0.01 * rng.normal(size=(9, 3))
        fitted = fit_surrogate(scores_at(weights, values, 0.01, metric="loss"), PosteriorInformed(predicted))
        queries = rng.dirichlet(np.ones(3), 30)
        mean, stdev = fitted.predict(queries)
        # An interval is for another score on the same examples, with its noise.
        again = truth(queries) + 0.01 * rng.normal(size=(30, 3))
        covered.append(np.abs(mean - again) < 1.645 * stdev)
    assert 0.8 < np.mean(covered) < 0.99


def test_other_metrics_are_learned_through_their_bounds(scores_at):
    weights = simplex_design(3, 10)
    accuracy = expit(2.0 - 1.5 * predicted(weights))
    scores = scores_at(weights, accuracy, metric="accuracy", bounds=(0.0, 1.0), direction="maximise")
    fitted = fit_surrogate(scores, PosteriorInformed(predicted))
    grid = simplex_grid(3, 8)
    assert fitted.predict(grid)[0] == pytest.approx(expit(2.0 - 1.5 * predicted(grid)), abs=1e-3)
    assert fitted.regressions[0].link.name == "sigmoid"
    plain = fit_surrogate(scores, PosteriorInformed(predicted, links="identity"))
    assert plain.regressions[0].link.name == "identity"


def test_losses_keep_the_identity_link_whatever_their_bounds(scores_at):
    weights = simplex_design(2, 4)
    scores = scores_at(weights, predicted(weights), metric="loss", bounds=(0.0, None))
    fitted = fit_surrogate(scores, PosteriorInformed(predicted))
    assert fitted.regressions[0].link.name == "identity"
    assert fitted.regressions[0].coefficients == pytest.approx([0.0, 1.0], abs=1e-4)


def test_objectives_come_in_blocks_of_one_per_task():
    weights = simplex_design(2, 5)
    losses, accuracies = predicted(weights), 1 - predicted(weights) / 2
    objectives = tuple(Objective(f"{t} loss", task=t, metric="loss") for t in "ab")
    objectives += tuple(Objective(f"{t} accuracy", "maximise", task=t, metric="accuracy") for t in "ab")
    values = np.concatenate([losses, accuracies], 1)
    fitted = fit_surrogate(
        Scores(("a", "b"), weights, values, 0 * values, objectives, "merged"), PosteriorInformed(predicted)
    )
    assert [regression.coefficients[1] for regression in fitted.regressions] == pytest.approx(
        [1, 1, -0.5, -0.5], abs=1e-2
    )


def test_calibrating_another_metric_needs_two_scores(scores_at):
    scores = scores_at(simplex_design(2, 1), [[0.9, 0.1]], metric="accuracy")
    with pytest.raises(
        DataError, match="calibrating 'a' to predicted losses needs at least 2 scored weightings, got 1"
    ):
        fit_surrogate(scores, PosteriorInformed(predicted))


def test_a_narrow_prior_holds_the_scale(scores_at):
    weights = simplex_design(3, 4)
    scores = scores_at(weights, 2.5 * predicted(weights), 0.3, metric="loss")
    narrow, wide = (
        fit_surrogate(scores, PosteriorInformed(predicted, prior_scale=scale)).regressions[0].coefficients[1]
        for scale in (1e-3, 10.0)
    )
    assert narrow == pytest.approx(1.0, abs=0.01)
    assert wide > 1.8
