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
        "relax 'b' by 0.05, from 0.75 to 0.7. Or relax only 'a' to 0.9 (point 2)"
    )
    assert caught.value.closest == front[1]
    assert caught.value.relax == {"b": (0.75, 0.7)}
    assert caught.value.alone == {"a": (0.92, 0.9), "b": (0.75, 0.7)}
    assert choose(front, Thresholds({"a": 0.92, "b": 0.7}, best="c")).point.id == 1


def test_every_missed_wish_is_named(front_of):
    with pytest.raises(
        InfeasibleError, match=r"relax 'a' by 0\.5, from 1 to 1\.5 and 'b' by 1, from 1 to 2$"
    ) as caught:
        choose(front_of([[1.5, 2.0]], weights=[[1, 0]]), Thresholds({"a": 1.0, "b": 1.0}))
    assert caught.value.relax == {"a": (1.0, 1.5), "b": (1.0, 2.0)}
    assert caught.value.alone == {}


def test_wishes_that_suffice_alone_are_listed_when_the_closest_point_misses_several(front_of):
    """Point 1 misses a and b by a little; points 0 and 2 miss one of them by a lot."""
    front = front_of([[0.0, 1.0, 0.5], [0.5, 0.5, 0.5], [1.0, 0.0, 0.5]])
    with pytest.raises(InfeasibleError) as caught:
        choose(front, Thresholds({"a": 0.4, "b": 0.4}))
    assert str(caught.value).endswith(
        "Point 1 comes closest: to reach it, relax 'a' by 0.1, from 0.4 to 0.5 and 'b' by 0.1, from 0.4 to 0.5. "
        "Or relax only 'a' to 1 (point 2), or only 'b' to 1 (point 0)"
    )
    assert caught.value.alone == {"a": (0.4, 1.0), "b": (0.4, 1.0)}
    for name, (_, reached) in caught.value.alone.items():
        relaxed = {"a": 0.4, "b": 0.4} | {name: reached}
        assert choose(front, Thresholds(relaxed)).point.values[name] == reached


@pytest.mark.parametrize("value", [0.123456789, 0.1234561, -7.65432111e-9, -7.6543218e12, 0.9999999999, 3.0, 0.0])
@pytest.mark.parametrize("direction", ["-", "+"])
def test_the_value_in_the_message_is_short_and_enough(front_of, value, direction):
    front = front_of([[value]], direction, weights=[[1, 0]])
    sign = 1.0 if direction == "-" else -1.0
    with pytest.raises(InfeasibleError) as caught:
        choose(front, Thresholds({"a": value - sign * max(1.0, abs(value))}))
    text = str(caught.value).rsplit(" to ", 1)[1]
    assert choose(front, Thresholds({"a": float(text)})).point.id == 0
    assert float(text) == pytest.approx(value, rel=1.1e-5)


@given(
    values=arrays(np.float64, (7, 3), elements=st.integers(-9, 9).map(float)),
    limits=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    directions=st.sampled_from(["---", "+-+"]),
)
def test_what_is_advised_when_nothing_is_feasible_works_and_is_the_least(front_of, values, limits, directions):
    signs = np.array([1.0 if direction == "-" else -1.0 for direction in directions])
    values = values[is_nondominated(values)]
    assume(not ((values[:, 0] <= limits[0]) & (values[:, 1] <= limits[1])).any())
    front, wishes = front_of(values * signs, directions), {"a": signs[0] * limits[0], "b": signs[1] * limits[1]}
    with pytest.raises(InfeasibleError) as caught:
        choose(front, Thresholds(wishes))
    error = caught.value
    together = wishes | {name: reached for name, (_, reached) in error.relax.items()}
    met = choose(front, Thresholds(together)).point.values
    assert met["a"] * signs[0] <= together["a"] * signs[0]
    assert met["b"] * signs[1] <= together["b"] * signs[1]
    assert {name: error.closest.values[name] for name in error.relax} == {
        name: reached for name, (_, reached) in error.relax.items()
    }
    for column, other in ((0, 1), (1, 0)):
        keeping = values[values[:, other] <= limits[other], column]
        name = "ab"[column]
        assert (name in error.alone) == (len(keeping) > 0)
        if len(keeping):
            assert error.alone[name] == (wishes[name], signs[column] * keeping.min())


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
