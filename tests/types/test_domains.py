from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import brentq
from scipy.stats import beta, kstest

from paretomerge.errors import WeightsError
from paretomerge.types import Box, Domain, Simplex, grouped_box

NAMES = tuple("abcdefgh")


def box_of(size, lows, widths):
    return Box(
        NAMES[:size], tuple(lows[:size]), tuple(low + width for low, width in zip(lows, widths, strict=True))[:size]
    )


@st.composite
def domains(draw):
    size = draw(st.integers(1, 8))
    if draw(st.booleans()):
        return Simplex(NAMES[:size])
    lows = draw(st.lists(st.floats(-5, 5), min_size=8, max_size=8))
    widths = draw(st.lists(st.floats(0.1, 5), min_size=8, max_size=8))
    return box_of(size, lows, widths)


@given(domain=domains())
def test_every_domain_has_names_and_degrees_of_freedom(domain):
    assert isinstance(domain, Domain)
    assert domain.cube_dimension == len(domain.names) - isinstance(domain, Simplex)
    assert hash(domain) == hash(type(domain)(*vars(domain).values()))


@settings(max_examples=60)
@given(domain=domains(), data=st.data())
def test_the_nearest_point_is_in_the_domain_and_no_point_of_it_is_nearer(domain, data):
    """Obtuse angles: (x - p)·(z - p) <= 0 for every z of a convex set, if p is its point nearest to x."""
    size = len(domain.names)
    points = data.draw(arrays(np.float64, (3, size), elements=st.floats(-10, 10)))
    found = domain.nearest(points)
    assert domain.checked(found) == pytest.approx(found, abs=1e-12)
    others = np.concatenate([domain.spread(20, 0), np.eye(size) if isinstance(domain, Simplex) else domain.corners])
    for x, p in zip(points, found, strict=True):
        assert ((others - p) @ (x - p)).max() < 1e-9
    assert domain.nearest(found) == pytest.approx(found, abs=1e-12)
    assert not np.shares_memory(found, points)


@settings(max_examples=60)
@given(points=st.integers(2, 8).flatmap(lambda t: arrays(np.float64, (2, t), elements=st.floats(-3, 3))))
def test_the_projection_to_the_simplex_lowers_all_weights_by_one_threshold(points):
    expected = []
    for x in points:
        threshold = brentq(lambda tau, x=x: np.maximum(x - tau, 0).sum() - 1, x.min() - 1, x.max(), xtol=1e-14)
        expected.append(np.maximum(x - threshold, 0))
    found = Simplex(NAMES[: points.shape[1]]).nearest(points)
    assert found == pytest.approx(np.array(expected), abs=1e-10)
    assert found.sum(axis=1) == pytest.approx(1.0, abs=1e-15)


@settings(max_examples=60)
@given(domain=domains(), count=st.integers(0, 70), more=st.integers(0, 70), seed=st.integers(0, 2**31))
def test_a_longer_sequence_starts_with_a_shorter_one_and_stays_in_the_domain(domain, count, more, seed):
    spread = domain.spread(count + more, seed)
    assert spread.shape == (count + more, len(domain.names))
    assert np.array_equal(domain.spread(count, seed), spread[:count])
    if len(spread):
        assert domain.checked(spread) == pytest.approx(spread, abs=1e-12)


def test_another_seed_gives_other_points_and_no_point_comes_twice():
    for domain in (Simplex(("a", "b", "c")), Box(("a", "b"))):
        one, other = domain.spread(64, 1), domain.spread(64, 2)
        assert len(np.unique(np.concatenate([one, other]).round(12), axis=0)) == 128
    assert Simplex(("a",)).spread(3).tolist() == [[1.0]] * 3
    assert Simplex(("a", "b")).spread(-1).shape == (0, 2)


def test_spread_points_fill_the_box_evenly():
    """Each half of each side has half of the points, each quarter of each plane a quarter."""
    points = Box(("a", "b", "c"), (-1.0, 0.0, 2.0), (1.0, 3.0, 4.0)).spread(256)
    upper = points > [0.0, 1.5, 3.0]
    assert upper.sum(axis=0).tolist() == [128] * 3
    assert [(upper[:, i] & upper[:, j]).sum() for i, j in ((0, 1), (0, 2), (1, 2))] == [64] * 3


@pytest.mark.parametrize("tasks", [2, 3, 6])
def test_uniform_cubes_are_uniform_on_the_simplex(tasks):
    """Every weight of a uniform point of the simplex has the distribution Beta(1, T - 1)."""
    weights = Simplex(NAMES[:tasks]).from_cube(np.random.default_rng(0).uniform(size=(4000, tasks - 1)))
    for column in weights.T:
        assert kstest(column, beta(1, tasks - 1).cdf).pvalue > 1e-4


@given(domain=domains(), data=st.data())
def test_the_cube_is_carried_into_the_domain(domain, data):
    cube = data.draw(arrays(np.float64, (4, domain.cube_dimension), elements=st.floats(0, 1)))
    found = domain.from_cube(cube)
    assert domain.checked(found) == pytest.approx(found, abs=1e-12)
    if isinstance(domain, Box):
        lower, upper = domain.corners
        assert found == pytest.approx(lower + cube * (upper - lower))


def test_points_are_checked_in_any_form_and_rounding_at_a_bound_is_forgiven():
    box = Box(("a", "b"), -1.0, (1.0, 2.0))
    assert (box.lower, box.upper) == ((-1.0, -1.0), (1.0, 2.0))
    assert box.checked({"b": 1.5, "a": -0.5}).tolist() == [[-0.5, 1.5]]
    assert box.checked([0.5, 0.5]).tolist() == [[0.5, 0.5]]
    assert box.checked([[1 + 1e-10, -1 - 1e-10]]).tolist() == [[1.0, -1.0]]
    simplex = Simplex(["a", "b"])
    assert simplex.names == ("a", "b")
    assert simplex.checked({"b": 0.75, "a": 0.25}).tolist() == [[0.25, 0.75]]
    assert simplex.checked(np.eye(2)).tolist() == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("domain", "points", "message"),
    [
        (Box(("a", "b")), [[0.5, 1.2]], r"coefficient b=1.2 is outside its bounds \[0, 1\]: widen the box or move"),
        (
            Box(("a", "b"), 0.25, 0.5),
            [[0.3, 0.3], [0.2, 0.3]],
            r"coefficient a=0.2 is outside its bounds \[0.25, 0.5\]",
        ),
        (Box(("a", "b")), [[0.5, 0.5, 0.5]], r"shape \[1, 3\], but there are 2 tasks \(a, b\)"),
        (Box(("a", "b")), [[0.5, np.nan]], "NaN or infinity"),
        (Box(("a", "b")), {"a": 0.5, "c": 0.5}, "unknown task 'c'"),
        (Simplex(("a", "b")), [[0.5, 0.6]], "weights sum to 1.1, not 1"),
        (Simplex(("a", "b")), [[1.5, -0.5]], "weights are negative"),
    ],
)
def test_points_outside_are_refused(domain, points, message):
    with pytest.raises(WeightsError, match=message):
        domain.checked(points)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Simplex(()), "a domain needs coordinates with different names, got none"),
        (lambda: Simplex(("a", "a")), "a domain needs coordinates with different names, got a, a"),
        (lambda: Box(()), "a domain needs coordinates with different names, got none"),
        (lambda: grouped_box(("a", "a"), ("g",)), "different names, got g:a, g:a"),
        (
            lambda: Box(("a", "b"), (0.0, 0.0, 0.0)),
            r"lower bound .*: give one number, or one for each of 2 coordinates",
        ),
        (lambda: Box(("a",), 0.0, "high"), "upper bound 'high': give one number"),
        (lambda: Box(("a", "b"), 0.0, (1.0, 0.0)), "the box is empty or unbounded at 'b': bounds must be finite, with"),
        (lambda: Box(("a",), 0.0, np.inf), "the box is empty or unbounded at 'a'"),
        (lambda: Box(("a",), np.nan, 1.0), "the box is empty or unbounded at 'a'"),
    ],
)
def test_impossible_domains_are_refused(make, message):
    with pytest.raises(WeightsError, match=message):
        make()


def test_a_grouped_box_has_a_coefficient_per_group_and_task():
    box = grouped_box(("a", "b"), ("embed", "head"), -0.5, 1.5)
    assert box.names == ("embed:a", "embed:b", "head:a", "head:b")
    assert box.lower == (-0.5,) * 4
    assert box.upper == (1.5,) * 4


def test_a_text_is_no_list_of_names() -> None:
    with pytest.raises(WeightsError, match=r"write \['ab'\]"):
        Simplex("ab")  # type: ignore[arg-type]
