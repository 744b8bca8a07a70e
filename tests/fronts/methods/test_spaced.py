from __future__ import annotations

import numpy as np
import pytest

from paretomerge.errors import DataError, EvaluationError
from paretomerge.fronts.methods import Spaced
from paretomerge.types import Constraint


@pytest.mark.parametrize("kind", ["sobol", "random"])
@pytest.mark.parametrize("box", [False, True])
def test_a_larger_budget_first_asks_for_the_same_points(task, kind, box):
    asked = []
    for budget in (7, 19):
        problem, evaluate = task(3, box=box)
        Spaced(kind).search(problem, evaluate, budget, seed=4)
        assert len(evaluate.asked) == budget
        asked.append(evaluate.asked)
    np.testing.assert_array_equal(asked[1][:7], asked[0])
    problem.domain.checked(asked[1])


def test_the_front_is_the_nondominated_part_of_what_was_measured(task):
    problem, evaluate = task(2)
    estimate = Spaced().search(problem, evaluate, 40)
    assert estimate.surrogate is None
    assert set(estimate.front.origin) == {"merged"}
    values = estimate.scores.values
    best = [
        row for row in range(40) if not ((values >= values[row]).all(axis=1) & (values > values[row]).any(axis=1)).any()
    ]
    np.testing.assert_array_equal(np.sort(estimate.front.values, axis=0), np.sort(values[best], axis=0))


def test_kinds_and_seeds_ask_for_different_points(task):
    found = []
    for kind, seed in (("sobol", 0), ("sobol", 1), ("random", 0)):
        problem, evaluate = task(2)
        Spaced(kind).search(problem, evaluate, 4, seed=seed)
        found.append(evaluate.asked)
    assert (found[0] != found[1]).any()
    assert (found[0] != found[2]).any()


def test_only_feasible_points_are_on_the_front(task):
    limit = Constraint("score[task0]", 0.5, upper=False)
    problem, evaluate = task(3, constraints=(limit,))
    told = []
    estimate = Spaced().search(problem, evaluate, 40, on_batch=lambda found, count: told.append((found, count)))
    assert len(estimate.front.objectives) == 2
    assert (evaluate.landscape.scores(estimate.front.weights)[:, 0] >= 0.5).all()
    assert [count for _, count in told] == list(range(5, 41, 5))
    with pytest.raises(DataError, match="least violated"):
        Spaced().search(*task(3, constraints=(Constraint("score[task0]", 0.9999, upper=False),)), 5)


def test_failures_are_spent(task):
    problem, evaluate = task(2, broken=(0, 6))
    estimate = Spaced(batch=4).search(problem, evaluate, 8)
    assert len(estimate.scores) == 6
    assert len(estimate.details["failed"]) == 2
    with pytest.raises(EvaluationError, match="none of the first 3"):
        Spaced().search(problem, task(2, broken=(0, 1, 2))[1], 3)


def test_settings_and_budgets_are_checked(task):
    with pytest.raises(DataError, match=r"unknown kind 'sobel' \(did you mean 'sobol'\?\)"):
        Spaced("sobel")
    with pytest.raises(DataError, match="batch=0"):
        Spaced(batch=0)
    with pytest.raises(DataError, match="at least 1 are needed"):
        Spaced().search(*task(2), 0)
