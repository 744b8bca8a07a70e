from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from paretomerge.errors import DataError
from paretomerge.fronts import hypervolume
from paretomerge.fronts.methods import Informed, Spaced
from paretomerge.fronts.methods.informed import fit_informed
from paretomerge.types import Constraint, Scores, are_feasible


def true_volume(front, evaluate, reference) -> float:
    return hypervolume(evaluate.landscape.scores(front.weights), reference, evaluate.landscape.objectives)


def test_a_larger_budget_first_asks_for_the_same_points(task):
    asked = []
    for budget in (2, 7, 12):
        problem, evaluate = task(3)
        Informed(stop_gain=0.0, batch=4).search(problem, evaluate, budget, seed=1)
        assert len(evaluate.asked) == budget
        asked.append(evaluate.asked)
    np.testing.assert_array_equal(asked[1][:2], asked[0])
    np.testing.assert_array_equal(asked[2][:7], asked[1])


def test_the_same_seed_finds_the_same_front(task):
    fronts = []
    for seed in (3, 3, 4):
        problem, evaluate = task(2)
        fronts.append(Informed(stop_gain=0.0).search(problem, evaluate, 8, seed=seed))
    np.testing.assert_array_equal(fronts[0].front.weights, fronts[1].front.weights)
    np.testing.assert_array_equal(fronts[0].scores.weights, fronts[1].scores.weights)
    assert (fronts[0].scores.weights != fronts[2].scores.weights).any()


def test_without_evaluations_the_front_is_what_the_posteriors_predict(task):
    problem, evaluate = task(2)
    estimate = Informed().search(problem, evaluate, 0)
    assert not evaluate.calls
    assert len(estimate.scores) == 0
    assert set(estimate.front.origin) == {"predicted"}
    # A wrong scale moves no point of the front: what is recommended is good although its values are not.
    reference = [0.0, 0.0]
    best = true_volume(Spaced().search(problem, evaluate, 200).front, evaluate, reference)
    assert true_volume(estimate.front, evaluate, reference) > 0.8 * best


def test_twelve_evaluations_give_nearly_all_of_the_hypervolume(task, best_front):
    problem, evaluate = task(3)
    best = best_front(problem, evaluate)
    estimate = Informed(stop_gain=0.0).search(problem, evaluate, 12)
    assert true_volume(estimate.front, evaluate, best.reference) > 0.99 * hypervolume(best)


def test_it_works_without_posteriors_from_one_evaluation_on(task):
    problem, evaluate = task(2, posteriors=False)
    estimate = Informed(stop_gain=0.0).search(problem, evaluate, 8)
    assert len(estimate.scores) == 8
    with pytest.raises(DataError, match="at least 1 are needed: nothing is known without posteriors"):
        Informed().search(problem, evaluate, 0)


def test_posteriors_are_dropped_where_left_out_scores_are_predicted_better_without_them(task):
    problem, evaluate = task(3, box=True)
    scores = evaluate(problem.domain.spread(8), problem.objectives)
    kept = fit_informed(scores, problem)
    assert kept.surrogate.tasks == problem.tasks
    assert not any("dropped" in warning for warning in kept.warnings)
    dropped = fit_informed(scores, replace(problem, predicted_losses=lambda points: np.sin(40 * points + 1)))
    assert dropped.surrogate.tasks == ()
    assert any("the posteriors' predictions were dropped" in warning for warning in dropped.warnings)
    few = fit_informed(scores.take([0, 1]), replace(problem, predicted_losses=lambda points: np.sin(40 * points)))
    assert few.surrogate.tasks == problem.tasks


def test_constraints_hold_on_the_predicted_front(task):
    limit = Constraint("score[task0]", 0.6, upper=False)
    problem, evaluate = task(3, constraints=(limit,))
    estimate = Informed(stop_gain=0.0).search(problem, evaluate, 12)
    assert [objective.name for objective in estimate.front.objectives] == ["score[task1]", "score[task2]"]
    predicted = estimate.surrogate.predict(estimate.front.weights)[0]
    assert are_feasible(predicted, problem.objectives, (limit,)).all()
    assert (evaluate.landscape.scores(estimate.front.weights)[:, 0] > 0.55).all()
    assert estimate.scores.objectives == problem.objectives


def test_a_constraint_that_nothing_respects_names_the_least_violated_point(task):
    problem, evaluate = task(2, constraints=(Constraint("score[task0]", 0.9999, upper=False),))
    with pytest.raises(DataError, match="least violated"):
        Informed(stop_gain=0.0).search(problem, evaluate, 5)


def test_a_domain_of_a_single_point_is_asked_once(task):
    problem, evaluate = task(1)
    estimate = Informed(stop_gain=0.0).search(problem, evaluate, 10)
    assert evaluate.asked.tolist() == [[1.0]]
    assert "every point of the domain" in estimate.stopped
    assert len(estimate.front) == 1


def test_a_box_is_searched_in_the_box(task):
    problem, evaluate = task(2, box=True)
    estimate = Informed(stop_gain=0.0).search(problem, evaluate, 9)
    problem.domain.checked(estimate.front.weights)
    assert estimate.front.weights.sum(axis=1).max() > 1.1


@pytest.mark.parametrize("settings", [{"batch": 0}, {"initial": 0}])
def test_settings_are_checked(settings):
    with pytest.raises(DataError, match="numbers of points >= 1"):
        Informed(**settings)


def test_a_negative_budget_is_refused(task):
    with pytest.raises(DataError, match="a budget of -1"):
        Informed().search(*task(2), -1)


def test_driven_point_by_point_with_nothing_pending_it_asks_what_the_search_asks(task):
    problem, evaluate = task(2)
    method = Informed(stop_gain=0.0, batch=1)
    method.search(problem, evaluate, 6, seed=5)
    again = task(2)[1]
    scores = evaluate(evaluate.asked[:1], problem.objectives).take([])
    for _ in range(6):
        points = method.propose(problem, scores, seed=5).points
        scores = Scores.concatenate([scores, again(points, problem.objectives)])
    np.testing.assert_allclose(again.asked, evaluate.asked[:6], atol=1e-12)


def test_pending_and_failed_points_are_counted_and_not_asked_again(task):
    problem, evaluate = task(2)
    method = Informed(initial=4)
    first = method.propose(problem, evaluate(problem.domain.spread(1), problem.objectives).take([]), 10)
    assert first.points.shape == (4, 2)
    assert np.isnan(first.gain)
    scores = evaluate(first.points[:2], problem.objectives)
    assert len(method.propose(problem, scores, 10, pending=first.points[2:3]).points) == 1
    second = method.propose(problem, scores, 3, pending=first.points[2:3], failed=first.points[3:])
    assert second.gain >= 0
    gaps = np.abs(second.points[:, None] - first.points).max(axis=2)
    assert gaps.min() > 1e-3


def test_the_first_batch_has_all_single_tasks_and_their_average(task):
    for box in (False, True):
        problem, evaluate = task(3, box=box)
        start = Informed().propose(problem, evaluate(np.eye(3), problem.objectives).take([]), 99).points
        assert len(start) == (5 if box else 4)
        for wanted in (*np.eye(3), np.full(3, 1 / 3)):
            assert np.abs(start - wanted).max(axis=1).min() < 1e-12
