from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.fronts.search.exact import exact

from paretomerge.errors import DataError
from paretomerge.fronts.methods.base import FrontEstimate
from paretomerge.fronts.methods.preference import for_preference
from paretomerge.fronts.search import search_front
from paretomerge.types import Constraint


@pytest.fixture(scope="module")
def estimate():
    surrogate = exact(4, "box", seed=1)
    front = search_front(surrogate, [3, 1], how="closed_form", size=5)
    return FrontEstimate(front, surrogate.scores, surrogate, "done")


def test_the_weights_belong_to_the_objectives_of_the_front_in_their_order(estimate):
    for weights, column in (([1, 0], 3), ([0, 1], 1)):
        values = estimate.surrogate.values(for_preference(estimate, weights)[None])[0]
        assert values[column] == pytest.approx(estimate.front.values.max(axis=0)[weights.index(1)], abs=1e-3)


def test_it_is_at_least_as_good_as_every_point_of_the_front(estimate):
    weights = np.array([0.3, 0.7])
    value = estimate.surrogate.values(for_preference(estimate, weights)[None])[0, [3, 1]] @ weights
    best = (estimate.front.values @ weights).max()
    assert value > best + 1e-5


def test_constraints_hold_and_weights_are_checked(estimate):
    limit = Constraint("y3", float(estimate.front.values[:, 0].mean()), upper=False)
    point = for_preference(estimate, [0.0, 1.0], (limit,))
    assert estimate.surrogate.values(point[None])[0, 3] >= limit.limit
    with pytest.raises(DataError, match="give 2 weights"):
        for_preference(estimate, [1, 1, 1, 1])


def test_without_a_surrogate_there_is_nothing_between_the_points(estimate):
    with pytest.raises(DataError, match="only measured"):
        for_preference(replace(estimate, surrogate=None), [1, 1])
