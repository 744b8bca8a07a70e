from __future__ import annotations

import numpy as np
import pytest
from tests.fronts.search.exact import exact

from paretomerge.errors import DataError
from paretomerge.fronts import closed_form_front
from paretomerge.fronts.search import preferred_point
from paretomerge.types import Constraint


@pytest.mark.parametrize(("tasks", "tolerance"), [(2, 1e-5), (4, 1e-3), (8, 2e-2)])
def test_on_quadratics_it_is_the_minimiser_of_the_weighted_sum(tasks, tolerance):
    surrogate = exact(tasks, "box", seed=1, linked=False)
    weights = np.random.default_rng(0).dirichlet(np.ones(tasks))
    truth = closed_form_front(surrogate.A, surrogate.b, surrogate.e, weights[None], bounds=(0.0, 1.0))[1][0] @ weights
    point = preferred_point(surrogate, weights)
    found = surrogate.values(point[None])[0] @ weights
    assert truth - 1e-12 <= found < truth + tolerance


def test_maximised_objectives_are_turned_and_only_the_traded_ones_count():
    surrogate = exact(3, "simplex", seed=2)
    point = preferred_point(surrogate, [1.0], [2])
    best = surrogate.values(surrogate.domain.spread(8192))[:, 2].max()
    assert surrogate.values(point[None])[0, 2] > best - 1e-4
    assert point.sum() == pytest.approx(1.0, abs=1e-12)


def test_constraints_hold():
    surrogate = exact(3, "box", seed=2)
    limit = Constraint("y0", 0.7, upper=False)
    point = preferred_point(surrogate, [0, 1, 1], constraints=(limit,))
    free = preferred_point(surrogate, [0, 1, 1])
    assert surrogate.values(free[None])[0, 0] < 0.7 <= surrogate.values(point[None])[0, 0] < 0.71
    with pytest.raises(DataError, match=r"none of \d+ points is predicted to respect y0 >= 0.9999"):
        preferred_point(surrogate, [0, 1, 1], constraints=(Constraint("y0", 0.9999, upper=False),))


def test_a_good_start_is_never_left_for_something_worse():
    surrogate = exact(8, "box", seed=3, linked=False)
    weights = np.full(8, 0.125)
    start = closed_form_front(surrogate.A, surrogate.b, surrogate.e, weights[None], bounds=(0.0, 1.0))[0]
    point = preferred_point(surrogate, weights, start=start)
    assert surrogate.values(point[None])[0] @ weights <= surrogate.values(start)[0] @ weights
    assert np.array_equal(point, preferred_point(surrogate, weights, start=start, seed=0))


@pytest.mark.parametrize("weights", [[1, 1], [1, 1, -1], [0, 0, 0], [1, np.nan, 1], "x"])
def test_a_preference_that_does_not_fit_is_refused(weights):
    with pytest.raises(DataError, match="preference"):
        preferred_point(exact(3), weights)
