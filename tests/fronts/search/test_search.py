from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from tests.fronts.search.exact import exact

from paretomerge.errors import DataError, MissingExtraError
from paretomerge.fronts import hypervolume, hypervolume_ratio, igd_plus
from paretomerge.fronts.search import check_search_available, search, search_front
from paretomerge.types import Box, Constraint, Simplex, are_feasible, to_minimised


@pytest.mark.parametrize(("domain", "tasks"), [("simplex", 2), ("simplex", 3), ("box", 2), ("box", 3)])
def test_all_searches_find_the_same_front(domain, tasks):
    """Within 2 % of the hypervolume and of the range with 400 points each; the closed form is exact."""
    surrogate = exact(tasks, domain, seed=tasks)
    exactly = search_front(surrogate, how="closed_form", size=400)
    for how in ("dense", "nsga3"):
        found = search_front(surrogate, how=how, size=400)
        ratio = hypervolume_ratio(found, exactly, reference=exactly.reference)
        assert 0.98 < ratio < 1.02, how
        assert igd_plus(found, exactly, normalise=True) < 0.02, how


@pytest.mark.parametrize("domain", ["simplex", "box"])
def test_with_eight_objectives_nsga3_comes_close_to_the_closed_form(domain):
    surrogate = exact(8, domain, seed=8)
    exactly = search_front(surrogate, how="closed_form", size=400)
    found = search_front(surrogate, how="nsga3", size=10**6)
    assert igd_plus(found, exactly, normalise=True) < 0.12
    assert (found.values.max(axis=0) > exactly.values.max(axis=0) - 0.02).all()


def test_a_front_that_is_not_convex_is_found():
    """Concave quadratics: the dense grid and NSGA-III agree where weighted sums would only find the ends."""
    surrogate = exact(2, "simplex", seed=1, linked=False)
    surrogate.A = -surrogate.A
    surrogate.b = -surrogate.b + np.array([[-20.0, 0.0], [0.0, -20.0]])
    dense, found = (search_front(surrogate, how=how) for how in ("dense", "nsga3"))
    middle = dense.values[len(dense) // 2]
    ends = dense.values[[0, -1]]
    assert len(dense) > 100
    assert (middle > ends.mean(axis=0)).all()
    assert hypervolume_ratio(found, dense) == pytest.approx(1.0, abs=0.01)
    with pytest.raises(DataError, match="the fitted quadratics are not convex"):
        search_front(surrogate, how="closed_form")


def count_searches(monkeypatch, surrogate, **settings):
    used = []
    for name in ("dense_points", "quadratic_points", "nsga3_scores"):
        original = getattr(search, name)

        def spy(*args, _name=name, _original=original, **kwargs):
            used.append(_name)
            return _original(*args, **kwargs)

        monkeypatch.setattr(search, name, spy)
    search_front(surrogate, **settings)
    return used


@pytest.mark.parametrize(
    ("tasks", "domain", "convex", "constraints", "expected"),
    [
        (3, "simplex", True, (), "dense_points"),
        (6, "simplex", True, (), "quadratic_points"),
        (2, "box", True, (), "quadratic_points"),
        (2, "box", True, (Constraint("y0", 0.5, upper=False),), "nsga3_scores"),
        (2, "box", False, (), "nsga3_scores"),
        (6, "simplex", False, (), "nsga3_scores"),
    ],
)
def test_the_search_follows_from_the_domain_and_the_surrogate(
    monkeypatch, tasks, domain, convex, constraints, expected
):
    surrogate = exact(tasks, domain, convex=convex)
    assert count_searches(monkeypatch, surrogate, constraints=constraints) == [expected]


@pytest.mark.parametrize("how", ["dense", "nsga3"])
def test_only_feasible_points_are_on_the_front_and_constrained_objectives_need_not_be_traded(how):
    surrogate = exact(3, "simplex", seed=1)
    limit = Constraint("y0", 0.6, upper=False)
    front = search_front(surrogate, [1, 2], (limit,), how=how)
    assert [objective.name for objective in front.objectives] == ["y1", "y2"]
    values = surrogate.values(front.weights)
    assert are_feasible(values, surrogate.objectives, (limit,)).all()
    assert front.values == pytest.approx(values[:, 1:], abs=1e-12)
    # The limit binds: without it the front goes on.
    free = search_front(surrogate, [1, 2], how=how)
    assert hypervolume(free, front.reference) > 1.05 * hypervolume(front, front.reference)
    assert values[:, 0].min() < 0.601


def test_constrained_searches_agree():
    surrogate = exact(3, "box", seed=2)
    limits = (Constraint("y0", 0.6, upper=False), Constraint("y2", 0.85))
    dense, found = (search_front(surrogate, [1, 2], limits, how=how) for how in ("dense", "nsga3"))
    assert hypervolume_ratio(found, dense, reference=dense.reference) == pytest.approx(1.0, abs=0.03)


def test_when_no_point_is_feasible_the_least_violated_is_named():
    surrogate = exact(2, "simplex", seed=1)
    grid = surrogate.values(np.array([[k / 1000, 1 - k / 1000] for k in range(1001)]))
    best = int(grid[:, 0].argmax())
    with pytest.raises(DataError) as raised:
        search_front(surrogate, constraints=(Constraint("y0", 0.999, upper=False),))
    message = str(raised.value)
    assert f"respect y0 >= 0.999: the least violated has y0={grid[best, 0]:.6g}" in message
    assert f"t0={best / 1000:.3g}" in message
    assert "loosen the limit" in message


def test_the_front_keeps_the_best_of_each_objective_when_it_is_thinned():
    surrogate = exact(3, "simplex", seed=3)
    whole, thin = search_front(surrogate, size=10**6), search_front(surrogate, size=12)
    assert len(thin) == 12
    assert len(whole) > 1000
    assert (thin.values.max(axis=0) == whole.values.max(axis=0)).all()
    assert set(thin.origin) == {"predicted"}
    assert (thin.stdev == 0.01).all()


def test_the_reference_point_counts_what_was_measured_unless_it_is_given():
    surrogate = exact(2, "simplex", seed=3)
    alone = search_front(surrogate)
    surrogate.measured = np.array([[1.0, 0.0], [0.0, 1.0]])
    values = to_minimised(np.concatenate([surrogate.scores.values, alone.values]), surrogate.objectives)
    expected = values.max(axis=0) + 0.1 * np.ptp(values, axis=0)
    both = search_front(surrogate)
    assert to_minimised(both.reference, surrogate.objectives) == pytest.approx(expected, abs=1e-12)
    assert not np.allclose(both.reference, alone.reference, atol=1e-3)
    assert search_front(surrogate, reference=[0.0, 0.1]).reference.tolist() == [0.0, 0.1]
    with pytest.raises(DataError, match=r"reference point has shape \[3\]"):
        search_front(surrogate, reference=[0, 0, 0])


def test_a_single_objective_has_a_single_best_point():
    surrogate = exact(3, "box", seed=5)
    found = {how: search_front(surrogate, [1], how=how) for how in ("closed_form", "dense", "nsga3")}
    assert {len(front) for front in found.values()} == {1}
    best = found["closed_form"].values[0, 0]
    assert found["nsga3"].values[0, 0] == pytest.approx(best, abs=1e-4)
    assert best - 0.02 < found["dense"].values[0, 0] <= best + 1e-12


def test_the_same_seed_gives_the_same_front():
    surrogate = exact(2, "box", convex=False)
    one, same, other = (search_front(surrogate, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.weights, same.weights)
    assert not np.array_equal(one.weights, other.weights)


def test_measured_points_are_where_nsga3_starts():
    surrogate = exact(3, "box")
    surrogate.measured = np.array([[0.123, 0.456, 0.789]])
    seen = []
    predict = surrogate.predict
    surrogate.predict = lambda points: seen.append(np.array(points)) or predict(points)
    search_front(surrogate, how="nsga3")
    first = seen[0]
    assert first[0].tolist() == [0.123, 0.456, 0.789]
    assert first[1:4].tolist() == np.eye(3).tolist()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"how": "nsga2"}, "unknown search 'nsga2' \\(did you mean 'nsga3'"),
        ({"traded": []}, "traded objectives \\[\\]"),
        ({"traded": [0, 0]}, "different numbers from 0 to 1"),
        ({"traded": [2]}, "from 0 to 1"),
        ({"size": 0}, "size=0"),
        ({"constraints": (Constraint("y9", 1.0),)}, "unknown objective 'y9'"),
        ({"constraints": (Constraint("y0", 1.0),), "how": "closed_form"}, "constraints need a search"),
    ],
)
def test_what_cannot_be_searched_says_why(settings, message):
    with pytest.raises(DataError, match=message):
        search_front(exact(2, "box"), **settings)


def test_a_surrogate_without_quadratics_has_no_closed_form():
    surrogate = exact(2, "box")
    surrogate.quadratics = None
    with pytest.raises(DataError, match="the surrogate Exact is not quadratic"):
        search_front(surrogate, how="closed_form")


def test_a_missing_pymoo_is_noticed_before_anything_is_evaluated(monkeypatch):
    simplex, box = Simplex(("a", "b")), Box(("a", "b"))
    for domain in (simplex, box):
        for how in ("auto", "dense", "closed_form", "nsga3"):
            check_search_available(domain, how)
    monkeypatch.setattr(search, "find_spec", lambda name: None if name == "pymoo" else importlib.util.find_spec(name))
    check_search_available(simplex)
    check_search_available(box, "dense")
    check_search_available(box, "closed_form")
    for domain, how in ((box, "auto"), (box, "nsga3"), (simplex, "nsga3")):
        with pytest.raises(MissingExtraError, match=r"paretomerge\[search\]"):
            check_search_available(domain, how)
    with pytest.raises(DataError, match="unknown search"):
        check_search_available(box, "grid")
