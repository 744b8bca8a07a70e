"""Searches on a tiny setting: what they look at, what they charge, and what they say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from benchmarks.suite.methods.searches import INFORMED, PUBLISHED, budgets_of, searched, searches, searches_few
from benchmarks.suite.methods.searching import Measuring, PublishedMap, kept_of, space_of
from benchmarks.suite.methods.searching.measuring import once
from benchmarks.suite.methods.searching.published_map import LeastSquares, fitted, quadratic_features
from benchmarks.suite.methods.searching.spaces import shares
from tests.benchmarks.suite.tiny_setting import tiny_setting

from benchmarks.suite.methods import NotHere, methods_of
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.fronts.methods import FrontProblem
from paretomerge.surrogates.links import softplus_link
from paretomerge.testing.landscapes import Quadratics
from paretomerge.types import Box, Objective, Scores


@pytest.fixture
def setting(tmp_path):
    return tiny_setting(tmp_path, 2)


def losses_of(setting):
    return tuple(objective for objective in setting.objectives if objective.metric == "loss")


def test_the_ends_of_both_families_are_the_finetunes(setting) -> None:
    corner = np.array([[0.0, 1.0]])
    wanted = setting.finetunes[setting.tasks[1]]
    merged = next(iter(space_of(setting, "coefficients", False).models(corner)))
    base = next(iter(space_of(setting, "coefficients", False).models(0 * corner)))

    for name, tensor in wanted.items():
        torch.testing.assert_close(merged[name], tensor)
        torch.testing.assert_close(base[name], setting.base[name])


def test_only_validation_examples_are_scored(setting) -> None:
    point, objectives = np.array([[0.4, 0.3]]), losses_of(setting)
    space = space_of(setting, "coefficients", False)
    scores = Measuring(setting, space)(point, objectives)
    model = next(iter(space.models(point)))
    evaluator = SupervisedEvaluator(setting.problem, "validation")

    by_hand = [float(evaluator(model, task)["loss"].double().mean()) for task in setting.tasks]
    np.testing.assert_allclose(scores.values[0], by_hand, rtol=1e-6)
    assert scores.shared is not None


def test_a_model_is_scored_once_and_charged_to_every_search(setting, monkeypatch) -> None:
    space, point = space_of(setting, "coefficients", False), np.array([[0.2, 0.9]])
    first, second = Measuring(setting, space), Measuring(setting, space)
    one = first(point, losses_of(setting))
    monkeypatch.setattr(SupervisedEvaluator, "__call__", lambda *arguments, **names: pytest.fail("scored again"))
    other = second(point, losses_of(setting))

    np.testing.assert_array_equal(one.values, other.values)
    assert first.saved == 0 < second.saved
    assert first.evaluations == second.evaluations == 1
    saved = second.saved
    second(point, losses_of(setting))
    assert second.evaluations == 1  # what a search has asked before is not paid again
    assert second.saved == saved


def test_other_points_families_parts_and_seeds_are_measured_anew(setting, tmp_path) -> None:
    point, objectives = np.array([[0.5, 0.5]]), losses_of(setting)
    other = tiny_setting(tmp_path / "other", 2, seed=1)
    values = [
        Measuring(setting, space_of(setting, "coefficients", False))(point, objectives).values,
        Measuring(setting, space_of(setting, "coefficients", False))(point + 0.1, objectives).values,
        Measuring(setting, space_of(setting, "weights", True))(point, objectives).values,
        Measuring(setting, space_of(setting, "coefficients", False), 0.5)(point, objectives).values,
        Measuring(other, space_of(other, "coefficients", False))(point, objectives).values,
    ]
    assert len({tuple(row[0].round(9)) for row in values}) == len(values)


def test_parts_of_the_tasks_and_of_the_examples_cost_parts(setting) -> None:
    space, objectives = space_of(setting, "coefficients", False), losses_of(setting)
    measuring = Measuring(setting, space, 0.25)
    scores = measuring(np.array([[0.5, 0.5], [1.0, 0.0]]), objectives[:1])
    assert measuring.evaluations == 2 * 0.5 * 0.25
    assert len(scores.objectives) == 1
    whole = Measuring(setting, space)(np.array([[0.5, 0.5]]), objectives)
    assert scores.stderr[0, 0] > whole.stderr[0, 0]


def test_a_model_whose_loss_is_no_number_is_left_out(setting) -> None:
    space = space_of(setting, "coefficients", False)

    def broken(points):
        for model, point in zip(space.models(points), points, strict=True):
            yield {name: tensor * float("nan") for name, tensor in model.items()} if point[0] > 0.5 else model

    measuring = Measuring(setting, dataclasses.replace(space, models=broken))
    scores = measuring(np.array([[0.1, 0.1], [0.9, 0.1], [0.2, 0.2]]), losses_of(setting))
    assert scores.weights[:, 0].tolist() == [0.1, 0.2]


def test_merged_models_are_made_ready_with_weights_on_the_simplex(tmp_path) -> None:
    seen = []

    def finish(params, weights):
        seen.append(weights)
        return params

    setting = dataclasses.replace(tiny_setting(tmp_path, 2), finish=finish)
    space = space_of(setting, "coefficients", False)
    Measuring(setting, space)(np.array([[0.6, 0.2], [0.0, 0.0]]), losses_of(setting))
    np.testing.assert_allclose(seen, [[0.75, 0.25], [0.5, 0.5]])


def test_shares_of_the_base_are_equal() -> None:
    assert shares(np.zeros(4)).tolist() == [0.25] * 4


def test_predicted_losses_over_coefficients_are_those_of_the_posteriors_at_the_finetunes(setting) -> None:
    space = space_of(setting, "coefficients", True)
    assert space.predicted_losses is not None
    average = np.full((1, 2), 0.5)
    predicted = space.predicted_losses(average)
    training = SupervisedEvaluator(setting.problem, "training")
    model = next(iter(space.models(average)))
    # The first expansion is at the average of the finetunes: there the quadratic is nearly the training loss.
    measured = [float(training(model, task)["loss"].double()[: setting.examples].mean()) for task in setting.tasks]
    np.testing.assert_allclose(predicted[0], measured, rtol=0.2)
    assert space.cost.gradient_passes > 0


QUICK = ("random", "NSGA-II", "published", "0 evaluations")


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(one, id=one.name, marks=() if any(word in one.name for word in QUICK) else pytest.mark.slow)
        for one in searches(smoke=True)
    ],
)
def test_every_search_finds_a_front_and_says_what_it_cost(setting, method) -> None:
    found = method.find(setting)
    stored = found.facts["predictions"]
    count = len(found.weights)
    assert 1 <= count <= 4
    assert len(list(found.models)) == count
    assert np.shape(stored["mean"]) == (count, 2)
    assert stored["objectives"] == [objective.name for objective in losses_of(setting)]
    assert found.facts["evaluations"] <= found.facts["budget"]
    assert found.cost.evaluations >= found.facts["evaluations"]
    if "published" in method.name:
        assert stored["stdev"] is None
        return
    assert np.shape(stored["stdev"]) == (count, 2)
    assert np.shape(stored["intervals"]["90"]) == (2, count, 2)
    assert len(stored["nondominated_probability"]) == count


def test_a_larger_budget_asks_first_for_what_the_smaller_one_asked(setting) -> None:
    small = searched(INFORMED, "coefficients", 5, 10).find(setting)
    known = len(kept_of(setting)._found)
    large = searched(INFORMED, "coefficients", 10, 10).find(setting)
    assert len(kept_of(setting)._found) - known == 5 * 2
    assert large.core_seconds > small.core_seconds
    assert (small.facts["evaluations"], large.facts["evaluations"]) == (5, 10)


def test_budgets_that_do_not_fit_are_skipped_with_a_reason(setting) -> None:
    with pytest.raises(NotHere, match="80 evaluations"):
        searched(INFORMED, "coefficients", 80, 25).find(setting)
    with pytest.raises(NotHere, match="MAP as published needs 6"):
        searched(PUBLISHED, "coefficients", 5, 25).find(setting)
    assert 160 in budgets_of(16)


def test_names_are_unique_and_say_where_and_how_much() -> None:
    for smoke in (False, True):
        names = [method.name for method in methods_of(("searches",), smoke)]
        assert len(set(names)) == len(names)
    assert {method.name for method in searches_few(False)} <= {method.name for method in searches(False)}


def test_published_map_recovers_a_quadratic_from_as_many_points_as_coefficients() -> None:
    rng = np.random.default_rng(0)
    names = ("a", "b", "c")
    truth = Quadratics(np.stack([np.eye(3)] * 2), rng.standard_normal((2, 3)), np.array([3.0, 4.0]))
    free = tuple(Objective(f"m{n}", task=names[n], metric="loss") for n in range(2))

    def evaluate(points, objectives):
        values = truth(points)
        return Scores(names, points, values, np.zeros_like(values), objectives, "merged")

    found = PublishedMap().search(FrontProblem(Box(names), names, free, points=20), evaluate, 10)
    np.testing.assert_allclose(found.front.values, truth(found.front.weights), atol=1e-8)
    assert len(found.scores) == 10
    assert (found.scores.weights != found.scores.weights.round(2)).all()  # random points, not a design


def test_links_keep_predictions_within_bounds() -> None:
    rng = np.random.default_rng(1)
    points = rng.random((40, 2))
    bounded = (Objective("loss", bounds=(0.0, None)), Objective("share", "maximise", bounds=(0.0, 1.0)))
    eta = quadratic_features(points) @ rng.standard_normal((6, 2)) * 3
    values = np.stack([np.logaddexp(0, eta[:, 0]), 1 / (1 + np.exp(-eta[:, 1]))], axis=1)
    scores = Scores(("a", "b"), points, values, np.zeros_like(values), bounded, "merged")
    linked = LeastSquares.of(scores, Box(("a", "b")))
    new = rng.random((50, 2))
    np.testing.assert_allclose(linked.predict(points)[0], values, atol=1e-5)
    predicted = linked.predict(new)[0]
    assert (predicted >= 0).all()
    assert (predicted[:, 1] <= 1).all()
    assert LeastSquares.of(scores, Box(("a", "b")), linked=False).r2.min() < linked.r2.min()


def test_noisy_scores_are_fitted_by_the_least_squares_of_the_metric_itself() -> None:
    rng = np.random.default_rng(2)
    features = quadratic_features(rng.random((30, 2)))
    link = softplus_link()
    values = link.value(features @ rng.standard_normal(6)) + 0.2 * rng.random(30)
    found = fitted(features, values, link)
    eta = features @ found
    gradient = features.T @ (link.slope(eta) * (link.value(eta) - values))
    np.testing.assert_allclose(gradient, 0, atol=1e-5)
    linear = np.linalg.lstsq(features, link.inverse(values), rcond=None)[0]
    assert np.abs(features @ linear - eta).max() > 1e-3


def test_a_model_is_made_once_and_only_when_it_is_needed() -> None:
    made = []
    model = once(lambda: made.append(1) or {})  # type: ignore[func-returns-value]
    assert not made
    model(), model()
    assert len(made) == 1
