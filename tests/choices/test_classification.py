from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paretomerge.choices import Classification, choose
from paretomerge.errors import DataError, InfeasibleError
from paretomerge.fronts import is_nondominated
from paretomerge.types import simplex_grid


def plane(front_of, divisions=10):
    """The points of `a + b + c = 1` with entries that are multiples of a tenth."""
    return front_of(simplex_grid(3, divisions))


def point_at(front, values):
    return int(np.abs(front.values - np.array(values)).sum(axis=1).argmin())


def test_improve_one_keep_one_and_let_one_fall_to_a_bound(front_of):
    """From (0.4, 0.3, 0.3), b stays and c may rise to 0.5: on the plane a can go down to 0.2."""
    front = plane(front_of)
    current = point_at(front, [0.4, 0.3, 0.3])
    choice = choose(front, Classification(current, improve=["a"], keep=["b"], relax_to={"c": 0.5}))
    assert choice.point.values == pytest.approx({"a": 0.2, "b": 0.3, "c": 0.5}, abs=1e-12)
    assert choice.rule == f"from point {current}: improve a, keep b, relax c to 0.5"


def test_what_is_improved_to_a_goal_stops_there_when_something_else_can_improve_more(front_of):
    """c pays for both. As far as the goal: a stops and b goes on. Without one both share what c pays."""
    front = plane(front_of)
    current = point_at(front, [0.4, 0.4, 0.2])
    limited = choose(front, Classification(current, improve=["b"], improve_to={"a": 0.2}, relax_to={"c": 0.6}))
    assert limited.point.values == pytest.approx({"a": 0.3, "b": 0.1, "c": 0.6}, abs=1e-12)
    even = choose(front, Classification(current, improve=["a", "b"], relax_to={"c": 0.6}))
    assert even.point.values == pytest.approx({"a": 0.2, "b": 0.2, "c": 0.6}, abs=1e-12)


def test_what_is_not_named_is_free(front_of):
    front = plane(front_of)
    current = point_at(front, [0.4, 0.3, 0.3])
    for free in ((), ("b", "c")):
        assert choose(front, Classification(current, improve=["a"], free=free)).point.values["a"] == 0.0


def test_on_a_circle_keeping_one_leaves_only_the_other_direction(circle):
    front = circle()
    assert choose(front, Classification(10, improve=["a"], relax_to={"b": front.values[7, 1]})).point.id == 7
    assert choose(front, Classification(10, improve=["b"])).point.id == 20


def test_a_maximised_objective_is_wished_in_its_own_direction(front_of):
    front = front_of([[0.95, 3.0], [0.9, 2.0], [0.8, 1.0], [0.6, 0.5]], "+-")
    assert choose(front, Classification(0, improve=["b"], relax_to={"a": 0.8})).point.id == 2
    assert choose(front, Classification(3, improve_to={"a": 0.9}, relax_to={"b": 2.5})).point.id == 1


def test_with_everything_kept_nothing_is_feasible_and_the_closest_point_still_improves(front_of):
    front = front_of([[0.0, 1.0], [0.3, 0.6], [0.5, 0.5], [1.0, 0.0]])
    with pytest.raises(InfeasibleError) as caught:
        choose(front, Classification(2, improve=["a"], keep=["b"]))
    assert str(caught.value) == (
        "no other point fulfils: from point 2: improve a, keep b. Point 1 comes closest: to reach it, relax 'b' by "
        "0.1, from 0.5 to 0.6"
    )
    assert caught.value.closest == front[1]
    assert caught.value.relax == {"b": (0.5, 0.6)}


def test_a_bound_that_is_too_tight_is_named_with_the_value_that_suffices(front_of):
    front = front_of([[0.0, 1.0, 0.2], [0.3, 0.6, 0.4], [0.5, 0.5, 0.3], [0.4, 0.5, 0.8]])
    with pytest.raises(InfeasibleError) as caught:
        choose(front, Classification(2, improve=["a"], keep=["b"], relax_to={"c": 0.5}))
    # Point 1 misses b by 0.1 of 0.5, point 3 misses c by 0.3 of 0.6, point 0 misses b by 0.5 of 0.5.
    assert caught.value.closest == front[1]
    assert caught.value.alone == {"b": (0.5, 0.6), "c": (0.5, 0.8)}
    assert str(caught.value).endswith("Or relax only 'c' to 0.8 (point 3)")


def test_the_best_point_cannot_be_improved_and_the_message_says_so(front_of):
    front = front_of([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    with pytest.raises(
        InfeasibleError, match="point 0 is the best of the front on a already: nothing improves it"
    ) as caught:
        choose(front, Classification(0, improve=["a"]))
    assert (caught.value.closest, caught.value.relax) == (front[0], {})


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"current": "12", "improve": ["a"]}, "current is '12', expected the number of a point"),
        ({"current": True, "improve": ["a"]}, "current is True"),
        ({"current": 0}, "nothing to improve: name at least one objective"),
        ({"current": 0, "keep": ["a"]}, "nothing to improve"),
        ({"current": 0, "improve": "ab"}, r"improve must be a list of objectives' names, got 'ab': write \['ab'\]"),
        ({"current": 0, "improve": ["a"], "keep": ["a"]}, "'a' is named twice, in improve and keep"),
        ({"current": 0, "improve": ["a", "a"]}, "'a' is named twice, in improve and improve"),
        ({"current": 0, "improve": ["a"], "relax_to": {"b": float("inf")}}, "relax_to: 'b' has inf"),
        ({"current": 0, "improve": ["a"], "augmentation": -1.0}, "augmentation is -1"),
    ],
)
def test_classifications_that_mean_nothing_are_refused(given_, message):
    with pytest.raises(DataError, match=message):
        Classification(**given_)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Classification(3, improve=["a"]), "the current point is number 3, the front has points 0 to 2"),
        (Classification(-1, improve=["a"]), "the current point is number -1"),
        (Classification(1, improve=["aa"]), r"unknown objective 'aa' \(did you mean 'a'\?\)"),
        (Classification(1, improve=["a"], free=["d"]), "unknown objective 'd'"),
        (Classification(1, improve_to={"a": 0.5}), "improve_to: 'a' is 0.5 at point 1, no worse than 0.5 already"),
        (Classification(1, improve_to={"b": 0.4}), "improve_to: 'b' is 0.5 at point 1, no worse than 0.4 already"),
        (Classification(1, improve=["a"], relax_to={"b": 0.6}), "relax_to: 'b' is 0.5 at point 1, worse than 0.6"),
    ],
)
def test_what_does_not_fit_the_front_is_refused(rule, message, front_of):
    with pytest.raises(DataError, match=message):
        choose(front_of([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]], "-+"), rule)


def test_a_bound_at_the_current_value_is_the_same_as_keeping(front_of):
    front = plane(front_of)
    current = point_at(front, [0.4, 0.3, 0.3])
    now = front.values[current, 1]
    kept = choose(front, Classification(current, improve=["a"], keep=["b"])).point
    assert kept == choose(front, Classification(current, improve=["a"], relax_to={"b": now})).point


@given(
    values=arrays(np.float64, (8, 3), elements=st.integers(-9, 9).map(float)),
    current=st.integers(0, 7),
    bound=st.integers(-9, 9),
    powers=st.tuples(*[st.integers(-20, 20)] * 3),
    directions=st.sampled_from(["---", "+-+"]),
)
def test_it_is_the_formula_and_does_not_depend_on_the_units(front_of, values, current, bound, powers, directions):
    signs = np.array([1.0 if direction == "-" else -1.0 for direction in directions])
    values = values[is_nondominated(values)]
    assume(current < len(values) and bound >= values[current, 2])
    now, units = values[current], signs * 2.0 ** np.array(powers)
    allowed = [i for i, v in enumerate(values) if v[0] < now[0] and v[1] <= now[1] and v[2] <= bound]

    def rule(unit):
        return Classification(current, improve=["a"], keep=["b"], relax_to={"c": float(unit[2] * bound)})

    if not allowed:
        with pytest.raises(InfeasibleError):
            choose(front_of(values * units, directions), rule(units))
        return
    point = choose(front_of(values * signs, directions), rule(signs)).point.id
    assert point == choose(front_of(values * units, directions), rule(units)).point.id
    width = np.ptp(values, axis=0)
    scaled = (values - values.min(axis=0)) / np.where(width > 0, width, 1.0)
    achievement = scaled[:, 0] + 1e-4 * scaled.sum(axis=1)
    assert point in allowed
    assert achievement[point] == pytest.approx(achievement[allowed].min(), abs=1e-13)
