from __future__ import annotations

import numpy as np

from paretomerge.fronts import hypervolume
from paretomerge.fronts.proposals import Scaling, look_around
from paretomerge.fronts.search import search_front
from paretomerge.types import Constraint, Simplex, are_feasible, to_minimised


def test_scaled_values_are_zero_at_the_best_and_one_at_the_worst_of_the_front():
    scaling = Scaling(np.array([1.0, 5.0, 2.0]), np.array([3.0, 6.0, 2.0]))
    assert scaling.scaled(np.array([[1.0, 6.0, 2.5], [2.0, 5.5, 2.0]])).tolist() == [[0.0, 1.0, 0.5], [0.5, 0.5, 0.0]]


def test_what_was_predicted_on_the_way_is_as_good_a_front_as_nsga3_finds(situation):
    _, surrogate, _ = situation(3, 12)
    outlook = look_around(surrogate, [0, 1, 2])
    searched = search_front(surrogate, how="nsga3", size=300)
    ours = hypervolume(outlook.predicted, searched.reference)
    assert ours > 0.99 * hypervolume(searched)


def test_the_front_has_the_best_point_of_each_preference_and_no_dominated_one(situation):
    _, surrogate, _ = situation(3, 12)
    outlook = look_around(surrogate, [0, 1, 2])
    values = outlook.scaling.scaled(to_minimised(surrogate.predict(outlook.front)[0], surrogate.objectives))
    assert 30 < len(values) <= 64
    dominated = (values[:, None] <= values - 1e-9).all(axis=2).any(axis=0)
    assert not dominated.any()
    np.testing.assert_allclose(values.min(axis=0), 0.0, atol=0.1)


def test_candidates_are_new_and_inside(situation):
    problem, surrogate, _ = situation(2, 8)
    failed = problem.domain.spread(30, 7)
    outlook = look_around(surrogate, [0, 1], avoid=failed)
    problem.domain.checked(outlook.candidates)
    taken = np.concatenate([surrogate.scores.weights, failed])
    gaps = np.abs(outlook.candidates[:, None] - taken).max(axis=2)
    assert gaps.min() > 1e-3
    own = np.abs(outlook.candidates[:, None] - outlook.candidates).max(axis=2)
    np.fill_diagonal(own, 1.0)
    assert own.min() > 1e-3


def test_avoided_candidates_are_those_that_would_have_been_there(situation):
    _, surrogate, _ = situation(2, 8)
    first = look_around(surrogate, [0, 1]).candidates
    left = look_around(surrogate, [0, 1], avoid=first[:20]).candidates
    assert np.abs(left[:, None] - first[:20]).max(axis=2).min() > 1e-3


def test_the_same_seed_looks_at_the_same_points_and_another_at_others(situation):
    _, surrogate, _ = situation(3, 6)
    one, two, other = (look_around(surrogate, [0, 1, 2], seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.candidates, two.candidates)
    np.testing.assert_array_equal(one.front, two.front)
    assert one.candidates.shape != other.candidates.shape or (one.candidates != other.candidates).any()


def test_corners_of_the_domain_are_candidates(situation):
    _, surrogate, _ = situation(3, 6)
    candidates = look_around(surrogate, [0, 1, 2]).candidates
    corners = np.isin(candidates, (0.0, 1.0)).all(axis=1)
    assert corners.sum() == 8


def test_only_traded_objectives_span_the_front(situation):
    _, surrogate, _ = situation(3, 12)
    outlook = look_around(surrogate, [1])
    mean = surrogate.predict(outlook.front)[0]
    assert outlook.scaling.best.shape == (1,)
    assert mean[:, 1].max() >= surrogate.predict(look_around(surrogate, [0, 1, 2]).front)[0][:, 1].max() - 1e-3


def test_the_front_respects_constraints_where_that_is_possible(situation):
    _, surrogate, _ = situation(3, 12)
    limit = float(np.quantile(surrogate.predict(surrogate.domain.spread(256))[0][:, 2], 0.8))
    constraints = (Constraint("score[task2]", limit, upper=False),)
    outlook = look_around(surrogate, [0, 1], constraints)
    assert are_feasible(surrogate.predict(outlook.front)[0], surrogate.objectives, constraints).all()
    free = look_around(surrogate, [0, 1])
    assert not are_feasible(surrogate.predict(free.front)[0], surrogate.objectives, constraints).all()


def test_where_nothing_is_feasible_the_least_violated_points_are_the_front(situation):
    _, surrogate, _ = situation(3, 12)
    outlook = look_around(surrogate, [0, 1], (Constraint("score[task2]", 2.0, upper=False),))
    mean = surrogate.predict(outlook.front)[0]
    assert mean[:, 2].min() > surrogate.predict(surrogate.domain.spread(512))[0][:, 2].max() - 0.05


def test_a_simplex_is_searched_on_the_simplex(situation):
    from paretomerge.surrogates import PosteriorInformed, fit_surrogate

    problem, _, landscape = situation(3, 6)
    domain = Simplex(landscape.tasks)
    rng = np.random.default_rng(0)
    scores = landscape.measure(domain.spread(6), rng)
    fitted = fit_surrogate(scores, PosteriorInformed(problem.predicted_losses, landscape.tasks), domain)
    outlook = look_around(fitted, [0, 1, 2])
    np.testing.assert_allclose(outlook.candidates.sum(axis=1), 1.0, atol=1e-9)
    assert len(outlook.front) > 20
