from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paretomerge.choices import Knee, choose
from paretomerge.fronts import is_nondominated
from paretomerge.types import simplex_grid


def test_a_circle_bends_most_in_the_middle(circle):
    choice = choose(circle(), Knee())
    assert choice.point.id == 10
    # From the chord to the arc: 1 - 1/√2.
    assert choice.rule == f"knee (normalised distance {1 - 1 / np.sqrt(2):.3g} below the plane)"


def test_a_corner_is_found_wherever_it_is(front_of):
    """Two straight pieces that meet at (0.2, 0.1)."""
    down = [[0.2 * (1 - s), 0.1 + 0.9 * s] for s in np.linspace(1, 0, 6)]
    right = [[0.2 + 0.8 * s, 0.1 * (1 - s)] for s in np.linspace(0.2, 1, 5)]
    choice = choose(front_of(down + right), Knee())
    assert choice.point.values == pytest.approx({"a": 0.2, "b": 0.1}, abs=1e-15)


def sphere(divisions=6):
    """The part of the unit sphere around (1, 1, 1) that faces the origin."""
    direction = simplex_grid(3, divisions)
    return 1.0 - direction / np.linalg.norm(direction, axis=1, keepdims=True)


def test_a_sphere_has_its_knee_in_the_middle(front_of):
    weights = simplex_grid(3, 6)
    front = front_of(sphere(), weights=weights, tasks="xyz")
    choice = choose(front, Knee())
    assert choice.point.weights == pytest.approx(dict.fromkeys("xyz", 1 / 3), abs=1e-15)


@pytest.mark.parametrize("concave", [False, True])
def test_a_flat_or_concave_front_has_no_knee_and_says_so(concave, circle, front_of):
    a = np.linspace(0.0, 1.0, 21)
    front = circle(concave=True) if concave else front_of(np.stack([a, 1.0 - a], axis=1))
    choice = choose(front, Knee())
    assert choice.point.id == 10
    assert choice.rule == "no knee, the front is flat or concave: nearest to the ideal point"


def test_extreme_points_that_coincide_still_span_a_plane(front_of):
    """Point 0 is best on a and b: the shortest normal is (½, ½, 1)."""
    front = front_of([[0.0, 0.0, 1.0], [0.25, 0.25, 0.25], [0.5, 0.75, 0.125], [1.0, 1.0, 0.0]])
    choice = choose(front, Knee())
    assert choice.point.id == 1
    assert choice.rule.startswith(f"knee (normalised distance {0.5 / np.sqrt(1.5):.3g} ")


def test_a_plane_that_leans_the_wrong_way_is_replaced(front_of):
    """The plane through the three extreme points has a negative normal in a: worse would count as better."""
    extremes = [[0.0, 0.4, 0.4], [1.0, 0.0, 1.0], [0.5, 1.0, 0.0]]
    normal = np.linalg.solve(np.array(extremes), np.ones(3))
    assert normal[0] < 0
    bend, lure = [0.2, 0.2, 0.2], [0.9, 0.3, 0.1]
    assert lure @ normal < bend @ normal
    front = front_of([*extremes, bend, lure])
    choice = choose(front, Knee())
    assert choice.point.id == 3


def test_with_that_plane_no_extreme_point_counts_as_a_bend(front_of):
    front = front_of([[0.0, 0.4, 0.4], [1.0, 0.0, 1.0], [0.5, 1.0, 0.0], [0.9, 0.3, 0.1]])
    choice = choose(front, Knee())
    assert choice.point.id == 0
    assert choice.rule.startswith("no knee")


def test_of_several_points_best_on_an_objective_the_one_with_the_best_sum_is_extreme(front_of):
    """Points 0 and 1 are best on a; the plane goes through point 1 and leaves point 4 below, not point 1."""
    values = [[0.0, 0.75, 0.75], [0.0, 1.0, 0.25], [0.75, 0.0, 1.0], [0.75, 1.0, 0.0], [1.0, 0.25, 0.5]]
    assert choose(front_of(values), Knee()).point.id == 4


def test_an_objective_in_which_all_points_agree_is_left_out(front_of):
    front = front_of([[0.0, 5.0, 1.0], [0.25, 5.0, 0.25], [1.0, 5.0, 0.0]])
    assert choose(front, Knee()).point.id == 1


def test_equal_points_have_no_bend(front_of):
    choice = choose(front_of([[1.0, 2.0], [1.0, 2.0]]), Knee())
    assert choice.point.id == 0
    assert choice.rule == "knee: all points have the same values"


def test_one_objective_has_only_its_best_value(front_of):
    assert choose(front_of([[3.0]], weights=[[1.0, 0.0]]), Knee()).point.id == 0


@given(
    values=arrays(np.float64, (8, 3), elements=st.integers(-9, 9).map(float)),
    powers=st.tuples(*[st.integers(-20, 20)] * 3),
    directions=st.sampled_from(["---", "+-+"]),
)
def test_the_knee_does_not_depend_on_the_units(front_of, values, powers, directions):
    signs = np.array([1.0 if direction == "-" else -1.0 for direction in directions])
    values = values[is_nondominated(values)] * signs
    scaled = values * 2.0 ** np.array(powers)  # exact, so even ties stay ties
    plain = choose(front_of(values, directions), Knee())
    assert plain.point.id == choose(front_of(scaled, directions), Knee()).point.id


@given(values=arrays(np.float64, (9, 2), elements=st.integers(0, 40).map(float)))
def test_in_two_objectives_it_is_the_point_furthest_below_the_chord(front_of, values):
    values = values[is_nondominated(values)]
    scaled = (values - values.min(axis=0)) / np.maximum(np.ptp(values, axis=0), 1.0)
    depth = (1.0 - scaled.sum(axis=1)) / np.sqrt(2)
    point = choose(front_of(values), Knee()).point.id
    if len(values) > 1 and depth.max() > 1e-9:
        assert depth[point] == pytest.approx(depth.max(), abs=1e-12)
    else:
        assert scaled[point].max() == pytest.approx(scaled.max(axis=1).min(), abs=1e-12)
