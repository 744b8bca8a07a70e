from __future__ import annotations

import sys

import numpy as np
import pytest
from tests.fronts.search.exact import exact

from paretomerge.errors import MissingExtraError
from paretomerge.fronts import igd_plus
from paretomerge.fronts.predictions import predicted_scores
from paretomerge.fronts.search import nsga3_scores, reference_directions, search_front


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 5, 6, 8, 10, 16, 20])
def test_directions_are_few_different_and_on_the_simplex(objectives):
    directions = reference_directions(objectives)
    assert directions.shape[1] == objectives
    assert directions.sum(axis=1) == pytest.approx(np.ones(len(directions)), abs=1e-12)
    assert directions.min() >= 0
    assert len(np.unique(directions.round(12), axis=0)) == len(directions)
    assert len(directions) <= (151 if objectives < 20 else 211)
    if objectives > 1:
        assert len(directions) >= 60
        # Every corner has a direction, and so has the inside.
        assert (directions.max(axis=0) == 1).all()
        assert (directions.min(axis=1) > 0).any()


def run(surrogate, seed=0, generations=10, limit=None):
    """Minimises all objectives, with the first one below `limit` if given."""

    def measure(scores):
        values = -scores.values
        violated = np.zeros((len(values), 0)) if limit is None else values[:, :1] - limit
        return values, violated

    start = surrogate.domain.spread(40, 0)
    return nsga3_scores(
        lambda points: predicted_scores(surrogate, points),
        measure,
        surrogate.domain,
        start,
        population=40,
        generations=generations,
        seed=seed,
    )


@pytest.mark.parametrize("domain", ["box", "simplex"])
def test_everything_predicted_is_in_the_domain_and_returned_in_order(domain):
    surrogate = exact(3, domain)
    scores = run(surrogate)
    assert np.array_equal(scores.weights[:40], surrogate.domain.spread(40, 0))
    assert len(scores) == sum(surrogate.asked)
    assert len(surrogate.asked) == 11
    surrogate.domain.checked(scores.weights)
    assert np.array_equal(scores.values, surrogate.values(scores.weights))


def test_it_finds_more_than_as_many_random_points():
    surrogate = exact(6, "box", seed=1)
    scores = run(surrogate, generations=40)
    scatter = surrogate.values(surrogate.domain.spread(len(scores), 5))
    best = search_front(surrogate, how="closed_form").values
    found, random = (igd_plus(values, best, surrogate.objectives) for values in (scores.values, scatter))
    assert found < 0.7 * random


def test_constraints_are_learnt():
    surrogate = exact(2, "box", seed=3)
    limit = -float(np.quantile(surrogate.values(surrogate.domain.spread(512))[:, 0], 0.97))
    free, limited = run(surrogate, generations=20), run(surrogate, generations=20, limit=limit)
    share = [(-scores.values[-80:, 0] <= limit).mean() for scores in (free, limited)]
    assert share[1] > 0.8
    assert share[1] > share[0] + 0.2


def test_the_same_seed_searches_the_same_points_and_global_randomness_stays_untouched():
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    one, same, other = (run(exact(3), seed) for seed in (1, 1, 2))
    assert np.array_equal(one.weights, same.weights)
    assert not np.array_equal(one.weights[40:], other.weights[40:])
    assert np.array_equal(np.random.get_state()[1], before)


def test_without_pymoo_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymoo.algorithms.moo.nsga3", None)
    with pytest.raises(MissingExtraError, match=r"paretomerge\[search\]"):
        run(exact(2))
