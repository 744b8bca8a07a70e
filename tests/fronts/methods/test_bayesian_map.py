from __future__ import annotations

import numpy as np
import pytest

from paretomerge.errors import DataError
from paretomerge.fronts import hypervolume
from paretomerge.fronts.methods import BayesianMap
from paretomerge.surrogates import FittedQuadratic


def test_a_larger_budget_first_asks_for_the_same_points(task):
    asked = []
    for budget in (6, 11):
        problem, evaluate = task(3)
        BayesianMap(batch=3).search(problem, evaluate, budget, seed=1)
        asked.append(evaluate.asked)
    assert len(asked[1]) == 11
    np.testing.assert_array_equal(asked[1][:6], asked[0])


def test_it_chooses_points_by_a_quadratic_surrogate_without_posteriors(task, best_front):
    problem, evaluate = task(3)
    other, again = task(3, posteriors=False)
    one, two = BayesianMap().search(problem, evaluate, 12), BayesianMap().search(other, again, 12)
    assert isinstance(one.surrogate, FittedQuadratic)
    np.testing.assert_array_equal(one.scores.weights, two.scores.weights)
    best = best_front(problem, evaluate)
    found = evaluate.landscape.scores(one.front.weights)
    assert hypervolume(found, best.reference, problem.objectives) > 0.99 * hypervolume(best)


def test_it_does_not_need_all_coefficients_before_it_starts(task):
    problem, evaluate = task(3)
    estimate = BayesianMap(initial=4).search(problem, evaluate, 4)
    assert len(estimate.front) > 1


def test_the_links_reach_the_surrogate(task):
    problem, evaluate = task(2)
    estimate = BayesianMap(links="identity").search(problem, evaluate, 5)
    assert estimate.surrogate.surrogate.links == "identity"


def test_it_can_stop_early(task):
    problem, evaluate = task(2)
    estimate = BayesianMap(stop_gain=0.9, initial=4, batch=2).search(problem, evaluate, 30)
    assert len(estimate.scores) < 12
    assert "expected to add" in estimate.stopped


def test_settings_and_budgets_are_checked(task):
    with pytest.raises(DataError, match="batch=0"):
        BayesianMap(batch=0)
    with pytest.raises(DataError, match="initial=1"):
        BayesianMap(initial=1)
    with pytest.raises(DataError, match="at least 2 are needed"):
        BayesianMap().search(*task(2), 1)
