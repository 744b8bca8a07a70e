from __future__ import annotations

import numpy as np
import pytest

from paretomerge.errors import DataError, EvaluationError
from paretomerge.fronts import hypervolume
from paretomerge.fronts.methods import Map
from paretomerge.fronts.methods.map import coefficients
from paretomerge.surrogates import initial_design


def test_it_evaluates_one_design_that_a_larger_one_extends(task):
    asked = []
    for budget in (6, 10):
        problem, evaluate = task(3)
        estimate = Map(how="dense").search(problem, evaluate, budget, seed=2)
        assert len(evaluate.calls) == 1
        assert len(estimate.scores) == budget
        asked.append(evaluate.asked)
    np.testing.assert_array_equal(asked[1][:6], asked[0])
    np.testing.assert_array_equal(asked[1], initial_design(problem.domain, 10, 2))


def test_enough_evaluations_of_a_sigmoid_quadratic_give_its_front(task, best_front):
    problem, evaluate = task(3)
    best = best_front(problem, evaluate)
    estimate = Map(how="dense").search(problem, evaluate, 12)
    found = evaluate.landscape.scores(estimate.front.weights)
    assert hypervolume(found, best.reference, problem.objectives) > 0.99 * hypervolume(best)
    assert (estimate.surrogate.fit_quality > 0.99).all()


def test_fewer_evaluations_than_coefficients_are_refused_unless_allowed(task):
    problem, evaluate = task(3)
    with pytest.raises(DataError, match="at least 6 are needed: a quadratic in 3 coordinates has 6 coefficients"):
        Map(how="dense").search(problem, evaluate, 5)
    assert not evaluate.calls
    estimate = Map(how="dense", allow_underdetermined=True).search(problem, evaluate, 5)
    assert any("determine" in warning for warning in estimate.surrogate.warnings)


def test_coefficients_of_a_simplex_and_a_box(task):
    assert coefficients(task(3)[0]) == 6
    assert coefficients(task(3, box=True)[0]) == 10


def test_it_never_looks_at_posteriors(task):
    problem, evaluate = task(2)
    other, again = task(2, posteriors=False)
    one, two = Map(how="dense").search(problem, evaluate, 5), Map(how="dense").search(other, again, 5)
    np.testing.assert_array_equal(one.front.values, two.front.values)


def test_progress_is_told_once(task):
    told = []
    problem, evaluate = task(2)
    estimate = Map(how="dense").search(problem, evaluate, 4, on_batch=lambda *news: told.append(news))
    assert told == [(estimate, 4)]
    assert "4 evaluations" in estimate.stopped
    assert np.isnan(estimate.gain)


def test_an_evaluator_that_never_answers_is_an_error(task):
    problem, evaluate = task(2, broken=tuple(range(9)))
    with pytest.raises(EvaluationError, match="none of the first 4"):
        Map(how="dense").search(problem, evaluate, 4)


def test_the_convex_shape_reaches_the_surrogate(task):
    problem, evaluate = task(2)
    estimate = Map(how="dense", shape="convex").search(problem, evaluate, 6)
    A = estimate.surrogate.quadratics()[0]
    along = np.array([1.0, -1.0])
    assert all(along @ matrix @ along >= -1e-9 for matrix in A)
