from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paretomerge.choices import Thresholds, choose
from paretomerge.errors import DataError, InfeasibleError
from paretomerge.fronts import is_nondominated

THREE = [[0.95, 0.50, 2.0], [0.92, 0.70, 4.0], [0.90, 0.80, 3.0], [0.85, 0.90, 1.0]]


def test_at_least_then_best(front_of):
    front = front_of(THREE, "++-")
    assert choose(front, Thresholds({"a": 0.9}, best="b")).point.id == 2
    assert choose(front, Thresholds({"a": 0.9}, best="c")).point.id == 0
    assert choose(front, Thresholds({"a": 0.91}, best="b")).point.id == 1
    assert choose(front, Thresholds({"a": 0.9, "c": 2.0}, best="b")).point.id == 0


def test_a_threshold_on_a_minimised_objective_is_an_upper_bound_that_may_be_met_exactly(front_of):
    front = front_of(THREE, "++-")
    choice = choose(front, Thresholds({"c": 3.0}, best="a"))
    assert choice.point.id == 0
    assert choose(front, Thresholds({"c": 1.0}, best="a")).point.id == 3
    assert choice.rule == "at least as good as c <= 3; then best on a"


def test_the_best_objective_may_have_a_threshold_itself(front_of):
    assert choose(front_of(THREE, "++-"), Thresholds({"a": 0.9}, best="a")).point.id == 0


def test_without_a_best_objective_the_free_ones_are_summed_on_their_ranges(front_of):
    front = front_of(THREE, "++-")
    # Ranges 0.4 and 3: points 0, 1, 2 lose 1 + 1/3, 1/2 + 1 and 1/4 + 2/3.
    choice = choose(front, Thresholds({"a": 0.9}))
    assert choice.point.id == 2
    assert choice.rule == "at least as good as a >= 0.9; then best on b + c"
    assert choose(front, Thresholds({"a": 0.9, "b": 0.0})).point.id == 0


def test_with_a_threshold_on_everything_all_objectives_are_summed(front_of):
    front = front_of([[0.0, 1.0], [0.25, 0.25], [1.0, 0.0]])
    assert choose(front, Thresholds({"a": 2.0, "b": 2.0})).point.id == 1


def test_equally_good_points_are_told_apart_by_all_objectives(front_of):
    front = front_of([[0.0, 8.0, 1.0], [0.0, 1.0, 2.0], [1.0, 0.0, 0.0]])
    assert choose(front, Thresholds({"b": 9.0}, best="a")).point.id == 1


def test_an_infeasible_wish_names_the_closest_point_and_what_to_relax(front_of):
    front = front_of(THREE, "++-")
    with pytest.raises(InfeasibleError) as caught:
        choose(front, Thresholds({"a": 0.92, "b": 0.75}, best="c"))
    # Point 1 misses b by 0.05 of a range of 0.4; point 2 misses a by 0.02 of a range of 0.1.
    assert str(caught.value) == (
        "none of the 4 points is at least as good as a >= 0.92, b >= 0.75. Point 1 comes closest: to reach it, "
        "relax 'b' by 0.05, from 0.75 to 0.7"
    )
    assert choose(front, Thresholds({"a": 0.92, "b": 0.7}, best="c")).point.id == 1


def test_every_missed_wish_is_named(front_of):
    with pytest.raises(InfeasibleError, match=r"relax 'a' by 0\.5, from 1 to 1\.5 and 'b' by 1, from 1 to 2\.0"):
        choose(front_of([[1.5, 2.0]], weights=[[1, 0]]), Thresholds({"a": 1.0, "b": 1.0}))


def test_best_on_an_unknown_objective_is_refused(front_of):
    with pytest.raises(DataError, match=r"unknown objective 'bb' \(did you mean 'b'"):
        choose(front_of(THREE, "++-"), Thresholds({"a": 0.9}, best="bb"))


@given(
    values=arrays(np.float64, (7, 3), elements=st.integers(-9, 9).map(float)),
    limits=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    powers=st.tuples(*[st.integers(-20, 20)] * 3),
    best=st.sampled_from([None, "a", "c"]),
    directions=st.sampled_from(["---", "+-+"]),
)
def test_the_choice_is_feasible_and_does_not_depend_on_the_units(front_of, values, limits, powers, best, directions):
    signs = np.array([1.0 if direction == "-" else -1.0 for direction in directions])
    values = values[is_nondominated(values)]
    # Powers of two: scaling is exact, so even ties stay ties.
    units = 2.0 ** np.array(powers)
    assume(((values[:, 0] <= limits[0]) & (values[:, 1] <= limits[1])).any())
    wishes = {"a": signs[0] * limits[0], "b": signs[1] * limits[1]}
    plain = choose(front_of(values * signs, directions), Thresholds(wishes, best))
    scaled_wishes = {"a": wishes["a"] * units[0], "b": wishes["b"] * units[1]}
    scaled = choose(front_of(values * signs * units, directions), Thresholds(scaled_wishes, best))
    assert plain.point.id == scaled.point.id
    chosen = values[plain.point.id]
    assert chosen[0] <= limits[0]
    assert chosen[1] <= limits[1]
    if best is not None:
        feasible = values[(values[:, 0] <= limits[0]) & (values[:, 1] <= limits[1])]
        column = "abc".index(best)
        assert chosen[column] == feasible[:, column].min()
