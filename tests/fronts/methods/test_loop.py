from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from paretomerge.errors import DataError, EvaluationError
from paretomerge.fronts.methods import Informed
from paretomerge.fronts.methods.loop import Log, Stopping, require_budget
from paretomerge.types import Scores


def test_the_log_keeps_scores_and_failures_apart(task):
    problem, evaluate = task(2, broken=(1, 3))
    log = Log.of(problem)
    points = problem.domain.spread(5)
    log.evaluate(evaluate, points[:2])
    log.evaluate(evaluate, points[2:])
    assert log.asked == 5
    np.testing.assert_array_equal(log.scores.weights, points[[0, 2, 4]])
    np.testing.assert_array_equal(log.failures, points[[1, 3]])
    assert log.details() == {"asked": 5, "failed": points[[1, 3]].tolist()}


def test_asking_for_nothing_calls_nobody(task):
    problem, evaluate = task(2)
    log = Log.of(problem)
    log.evaluate(evaluate, np.zeros((0, 2)))
    assert log.asked == 0
    assert not evaluate.calls
    assert log.failures.shape == (0, 2)


def test_scores_in_another_order_are_no_failures(task):
    problem, evaluate = task(2)
    log = Log.of(problem)
    log.evaluate(lambda points, objectives: evaluate(points[::-1], objectives), problem.domain.spread(3))
    assert len(log.scores) == 3
    assert not log.failed


@pytest.mark.parametrize("wrong", ["objectives", "points", "count"])
def test_an_evaluator_that_answers_another_question_is_refused(task, wrong):
    problem, evaluate = task(2)

    def answer(points: np.ndarray, objectives: object) -> Scores:
        scores = evaluate(points, problem.objectives)
        if wrong == "objectives":
            return scores.columns([1, 0])
        if wrong == "points":
            return evaluate(points[:, ::-1], problem.objectives)
        return Scores.concatenate([scores, scores])

    with pytest.raises(EvaluationError, match="not asked for" if wrong == "points" else "one row per point"):
        Log.of(problem).evaluate(answer, np.array([[0.2, 0.8], [0.3, 0.7]]))


def test_a_stopping_rule_is_checked():
    with pytest.raises(DataError, match="share of the hypervolume"):
        Stopping(1.5)
    with pytest.raises(DataError, match="share of the hypervolume"):
        Stopping(-0.1)
    with pytest.raises(DataError, match="patience is 0"):
        Stopping(0.1, 0)


def test_a_budget_that_is_too_small_says_which_one_is_not():
    require_budget(3, 3)
    with pytest.raises(DataError, match="a budget of 2 evaluations is too small, at least 3 are needed: because"):
        require_budget(2, 3, ": because")


def test_it_stops_when_batches_are_useless_and_says_so(task):
    problem, evaluate = task(2)
    estimate = Informed(stop_gain=0.5, batch=2).search(problem, evaluate, 40)
    gains = estimate.details["gains"]
    assert len(estimate.scores) < 40
    assert max(gains[-2:]) < 0.5
    assert all(max(pair) >= 0.5 for pair in pairwise(gains[:-1]))
    assert "another 2 evaluations are expected to add" in estimate.stopped
    assert "less than 50 %" in estimate.stopped
    assert estimate.gain == gains[-1]


def test_patience_waits_for_so_many_useless_batches(task):
    lengths = []
    for patience in (1, 3):
        problem, evaluate = task(2)
        found = Informed(stop_gain=0.9, patience=patience, batch=2, initial=3).search(problem, evaluate, 40)
        lengths.append(len(found.scores))
    assert lengths == [3, 7]


def test_a_gain_of_zero_never_stops_it(task):
    problem, evaluate = task(2)
    estimate = Informed(stop_gain=0.0, batch=8).search(problem, evaluate, 30)
    assert len(estimate.scores) == 30
    assert estimate.stopped == "the budget of 30 evaluations is spent"


def test_failed_evaluations_are_spent_and_not_asked_again(task):
    problem, evaluate = task(2, broken=(1, 4, 5))
    estimate = Informed(stop_gain=0.0, batch=3).search(problem, evaluate, 12)
    assert len(evaluate.asked) == 12
    assert len(estimate.scores) == 9
    assert len(estimate.details["failed"]) == 3
    gaps = np.abs(evaluate.asked[:, None] - evaluate.asked).max(axis=2)
    np.fill_diagonal(gaps, 1.0)
    assert gaps.min() > 1e-4


def test_without_a_single_score_it_gives_up(task):
    problem, evaluate = task(2, broken=tuple(range(50)))
    with pytest.raises(EvaluationError, match="none of the first 3 evaluations gave a score"):
        Informed().search(problem, evaluate, 20)
    assert len(evaluate.asked) == 3


def test_progress_is_told_after_every_batch_with_the_front_so_far(task):
    problem, evaluate = task(2)
    told = []
    estimate = Informed(stop_gain=0.0, batch=2, initial=3).search(
        problem, evaluate, 8, on_batch=lambda found, count: told.append((count, found))
    )
    assert [count for count, _ in told] == [3, 5, 7, 8]
    assert [len(found.scores) for _, found in told] == [3, 5, 7, 8]
    assert told[-1][1] is estimate
    assert all(len(found.front) > 10 and 0 <= found.gain <= 1 for _, found in told)
