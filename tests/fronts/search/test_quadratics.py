from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fronts.search.exact import exact

from paretomerge.errors import PosteriorError
from paretomerge.fronts import is_nondominated
from paretomerge.fronts.search import convex_quadratics, quadratic_points
from paretomerge.fronts.search.quadratics import _on_simplex
from paretomerge.types import Box, Simplex


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), size=st.integers(1, 9), strength=st.sampled_from([0.01, 1.0, 100.0]))
def test_on_the_simplex_the_optimality_conditions_hold(seed, size, strength):
    """Equal gradients where the weight is positive, larger ones where it is zero."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    A = root @ root.T + 0.1 * np.eye(size) - 3.0  # indefinite, but convex along the simplex
    b = strength * rng.normal(size=size)
    point = _on_simplex(A, b)
    assert point.sum() == pytest.approx(1.0, abs=1e-12)
    assert point.min() >= 0
    gradient = A @ point + b
    level = gradient @ point
    tolerance = 1e-9 * (1 + np.abs(A).max() + np.abs(b).max())
    assert (gradient >= level - tolerance).all()
    assert np.abs(gradient[point > 0] - level).max() < tolerance


def test_what_is_not_convex_along_the_simplex_is_refused():
    with pytest.raises(PosteriorError, match="search with nsga3"):
        _on_simplex(-np.eye(3), np.zeros(3))


@pytest.mark.parametrize("domain", ["box", "simplex"])
@pytest.mark.parametrize("tasks", [1, 2, 3, 8])
def test_points_are_in_the_domain_nondominated_and_better_than_random_ones(domain, tasks):
    surrogate = exact(tasks, domain, seed=tasks)
    quadratics = convex_quadratics(surrogate, range(tasks))
    points = quadratic_points(quadratics, surrogate.domain, 120)
    surrogate.domain.checked(points)
    values = -surrogate.values(points)
    # Extreme weightings are solved to about 1e-7, so a point may beat its neighbour by as little.
    assert is_nondominated(values - 1e-9 * np.arange(len(values))[:, None] * 0, keep_weakly=True).mean() > 0.9
    random = -surrogate.values(surrogate.domain.spread(2000, 1))
    assert not (random[:, None] < values - 1e-6).all(axis=2).any()
    if tasks > 1:
        assert 100 <= len(points) <= 140


def test_the_best_of_each_objective_comes_first():
    surrogate = exact(4, "box", seed=2)
    points = quadratic_points(convex_quadratics(surrogate, range(4)), surrogate.domain, 50)
    values = surrogate.values(points)
    assert np.abs(values[:4].diagonal() - values.max(axis=0)).max() < 1e-9
    random = surrogate.values(surrogate.domain.spread(4096, 1))
    assert (values[:4].diagonal() >= random.max(axis=0)).all()


def test_units_of_an_objective_do_not_matter():
    surrogate = exact(3, "box", seed=4, linked=False)
    A, b, e = surrogate.quadratics()
    unit = np.array([1e-4, 1.0, 1e4])
    plain = quadratic_points((A, b, e), surrogate.domain, 60)
    scaled = quadratic_points((A * unit[:, None, None], b * unit[:, None], e * unit), surrogate.domain, 60)
    assert scaled == pytest.approx(plain, abs=1e-9)


def test_only_the_traded_objectives_are_taken():
    surrogate = exact(4, "box")
    A, b, e = convex_quadratics(surrogate, [2, 0])
    assert np.array_equal(A, surrogate.A[[2, 0]])
    assert np.array_equal(b, surrogate.b[[2, 0]])
    assert np.array_equal(e, surrogate.e[[2, 0]])


def test_there_is_no_closed_form_without_convex_quadratics():
    assert convex_quadratics(exact(3, "box", convex=False), range(3)) is None

    class Opaque:
        domain = Box(("a", "b"))

    assert convex_quadratics(Opaque(), [0]) is None
    flat = exact(2, "box")
    flat.A = np.stack([np.diag([1.0, 0.0]), np.diag([2.0, 0.0])])
    assert convex_quadratics(flat, range(2)) is None
    flat.A = np.stack([np.diag([1.0, 0.0]), np.diag([0.0, 1e-3])])
    assert convex_quadratics(flat, range(2)) is not None
    none = exact(2, "box")
    none.quadratics = lambda: None
    assert convex_quadratics(none, range(2)) is None


def test_on_the_simplex_only_the_curvature_along_it_counts():
    surrogate = exact(3, "simplex")
    surrogate.A = surrogate.A - 50.0
    assert convex_quadratics(surrogate, range(3)) is not None
    surrogate.domain = Box(surrogate.tasks)
    assert convex_quadratics(surrogate, range(3)) is None
    saddle = exact(3, "simplex")
    saddle.A = saddle.A - 50.0 * np.eye(3)
    assert convex_quadratics(saddle, range(3)) is None
    assert isinstance(saddle.domain, Simplex)


def test_weightings_spread_the_points_although_ranges_differ():
    """The first objective hardly changes between the two optima; points still fill the way between them."""
    A = np.array([np.diag([1.0, 1e-3]), np.eye(2)])
    points = quadratic_points((A, np.array([[0.0, 0.0], [0.0, -1.0]]), np.zeros(2)), Box(("a", "b")), 200)
    assert np.median(points[:, 1]) == pytest.approx(0.5, abs=0.02)
    assert np.quantile(points[:, 1], [0.1, 0.9]) == pytest.approx([0.1, 0.9], abs=0.02)
