from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny import recipe_of, write_recipe

from paretomerge.errors import DataError, RecipeError
from paretomerge.stages import SampledScores, fit_run, open_study, score_sampled
from paretomerge.stages.fitting.fit import Fitted
from paretomerge.stages.measuring.sampled import sampled_models
from paretomerge.types import Objective, Origin, Scores

POINTS = np.array([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])
DENSE = {"family": "dense", "damping": 0.1}
LOSS = (Objective("a"),)


def _fit(folder: Path, **changes: object) -> Fitted:
    return fit_run(open_study(write_recipe(folder, recipe_of(**changes))))


def _sampled(points: object, values: object) -> SampledScores:
    return SampledScores(np.array(points, float), np.array(values, float), LOSS, 10.0)


def _evaluations(fitted: Fitted) -> float:
    with fitted.study.folder.open_journal() as journal:
        return journal.ledger()["parameters"].evaluations


def test_scores_are_those_of_models_drawn_around_the_merges(own: Path) -> None:
    fitted = _fit(own, posterior=DENSE)
    found = score_sampled(fitted, POINTS, "validation", draws=3, examples=100.0, seed=5)
    assert found.values.shape == (3, 2, len(fitted.study.objectives))
    assert found.examples == 100.0
    evaluator = fitted.study.evaluator("validation")
    model = next(sampled_models(fitted, [(2, POINTS[1])], 100.0, 5))
    expected = [float(torch.as_tensor(evaluator(model, task)["loss"]).double().mean()) for task in fitted.study.tasks]
    np.testing.assert_allclose(found.values[2, 1, :3], expected, rtol=1e-6)
    assert (found.stdev > 0).any()


def test_what_is_stored_is_not_measured_again_and_other_draws_are(own: Path) -> None:
    fitted = _fit(own, posterior=DENSE)
    first = score_sampled(fitted, POINTS, "validation", draws=2)
    assert _evaluations(fitted) == 4
    more = score_sampled(fitted, POINTS, "validation", draws=3)
    assert _evaluations(fitted) == 6
    np.testing.assert_array_equal(more.values[:2], first.values)
    other = score_sampled(fitted, POINTS, "validation", draws=2, seed=1)
    assert _evaluations(fitted) == 10
    assert (other.values != first.values).any()
    assert (score_sampled(fitted, POINTS, "test", draws=2).values != first.values).any()
    wider = score_sampled(fitted, POINTS, "validation", draws=2, examples=5.0)
    assert (wider.values != first.values).any()


def test_the_noise_of_a_draw_is_the_same_at_all_points_and_shrinks_with_the_root_of_examples(own: Path) -> None:
    fitted = _fit(own, posterior=DENSE)
    merged = [{k: v.double() for k, v in model.items()} for model in fitted.models(POINTS[[0, 0]])]
    jobs = [(0, POINTS[0]), (0, POINTS[0]), (1, POINTS[0])]
    drawn = {n: list(sampled_models(fitted, jobs, n)) for n in (1e4, 4e4)}
    steps = {
        n: [torch.cat([(m[k].double() - merged[0][k]).flatten() for k in m]) for m in models]
        for n, models in drawn.items()
    }
    torch.testing.assert_close(steps[1e4][0], steps[1e4][1], rtol=0, atol=0)
    assert float((steps[1e4][0] - steps[1e4][2]).norm()) > 0.5 * float(steps[1e4][0].norm())
    torch.testing.assert_close(steps[1e4][0], 2 * steps[4e4][0], rtol=0.01, atol=1e-5)
    near = list(sampled_models(fitted, [(0, POINTS[0]), (0, POINTS[0] + [0.01, -0.01, 0.0])], 1e4))
    moved = torch.cat([(near[0][k] - near[1][k]).double().flatten() for k in near[0]])
    assert float(moved.norm()) < 0.5 * float(steps[1e4][0].norm())


def test_draws_are_worse_than_their_mean_on_average_for_losses(own: Path) -> None:
    fitted = _fit(own, posterior=DENSE)
    found = score_sampled(fitted, POINTS, "training", draws=8)
    assert found.examples == 48.0
    evaluator = fitted.study.evaluator("training")
    losses = [
        [float(torch.as_tensor(evaluator(m, t)["loss"]).double().mean()) for t in fitted.study.tasks]
        for m in fitted.models(POINTS)
    ]
    assert (found.values[:, :, :3].mean(axis=0) > np.array(losses)).mean() > 0.8


def test_the_shift_is_the_mean_of_the_draws_less_the_merged_score() -> None:
    origin: Origin = "merged"
    found = _sampled([[0.0], [1.0]], [[[1.0], [2.0]], [[3.0], [5.0]]])
    merged = Scores(("t",), [[0.0], [1.0]], np.array([[1.0], [1.0]]), np.zeros((2, 1)), LOSS, (origin,) * 2)
    np.testing.assert_array_equal(found.shift(merged), [[1.0], [2.5]])
    np.testing.assert_allclose(found.stdev, [[2**0.5], [4.5**0.5]])
    for other in (merged.take([1, 0]), merged.take([0])):
        with pytest.raises(DataError, match="of other points or objectives"):
            found.shift(other)


def test_between_points_variances_are_averaged_by_distance() -> None:
    found = _sampled([[0.0], [1.0]], [[[0.0], [0.0]], [[2.0], [6.0]]])
    variance = found.stdev[:, 0] ** 2
    at = found.stdev_at(np.array([[0.0], [1.0], [0.5], [0.25]]))
    np.testing.assert_allclose(at[:2], found.stdev)
    np.testing.assert_allclose(at[2, 0] ** 2, variance.mean())
    np.testing.assert_allclose(at[3, 0] ** 2, (9 * variance[0] + variance[1]) / 10)


def test_what_has_no_spread_says_why(own: Path) -> None:
    fitted = _fit(own, posterior=DENSE)
    with pytest.raises(DataError, match="1 draws of the parameters: a spread needs at least 2"):
        score_sampled(fitted, POINTS, "validation", draws=1)
    isotropic = fit_run(open_study(write_recipe(own, recipe_of(posterior={"family": "isotropic"}), "flat.yaml")))
    with pytest.raises(RecipeError, match="isotropic posteriors measured no curvature"):
        score_sampled(isotropic, POINTS, "validation")
    other = fit_run(
        open_study(write_recipe(own, recipe_of(posterior=DENSE, rule={"name": "task_arithmetic"}), "rule.yaml"))
    )
    with pytest.raises(RecipeError, match="'task_arithmetic' are not drawn from a posterior"):
        score_sampled(other, POINTS, "validation")
