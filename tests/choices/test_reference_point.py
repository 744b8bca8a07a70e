from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paretomerge.choices import ReferencePoint, choose
from paretomerge.errors import DataError
from paretomerge.fronts import is_nondominated


def line(front_of, count=11):
    """`b = 1 - a`."""
    a = np.linspace(0.0, 1.0, count)
    return front_of(np.stack([a, 1.0 - a], axis=1))


def test_on_a_line_the_shortfalls_are_equal(front_of):
    """Shortfalls `a - qa` and `1 - a - qb` are equal at `a = (1 + qa - qb) / 2`."""
    front = line(front_of)
    for qa, qb in [(0.0, 0.0), (0.2, 0.0), (0.1, 0.5), (-3.0, -3.0), (0.9, 0.9)]:
        point = choose(front, ReferencePoint({"a": qa, "b": qb})).point
        assert point.values["a"] == pytest.approx((1 + qa - qb) / 2, abs=1e-12)


def test_on_a_circle_the_ideal_point_as_aspiration_gives_the_middle(circle):
    for concave in (False, True):
        choice = choose(circle(concave=concave), ReferencePoint({"a": 0.0, "b": 0.0}))
        assert choice.point.id == 10
        assert choice.rule == "closest to the aspiration a=0, b=0 (not reached)"


def test_an_aspiration_that_is_on_the_front_is_returned(circle):
    front = circle()
    for point in front:
        choice = choose(front, ReferencePoint(point.values))
        assert choice.point.id == point.id
        assert choice.rule.endswith("(reached)")


def test_an_objective_without_a_wish_only_breaks_ties(front_of):
    front = front_of([[0.0, 5.0, 4.0], [0.0, 4.0, 5.0], [0.0, 1.0, 6.0], [1.0, 0.0, 0.0]])
    assert choose(front, ReferencePoint({"a": 0.0})).point.id == 2
    assert choose(front, ReferencePoint({"c": 0.0})).point.id == 3


def test_an_objective_in_which_all_points_agree_does_not_hide_the_others(front_of):
    front = front_of([[0.0, 1.0, 7.0], [0.4, 0.4, 7.0], [1.0, 0.0, 7.0]])
    for rho in (0.0, 1e-4):
        assert choose(front, ReferencePoint({"a": 1.0, "b": 0.0, "c": -100.0}, rho)).point.id == 2


def test_at_equal_worst_shortfall_the_better_sum_is_preferred_with_or_without_augmentation(front_of):
    front = front_of([[1.0, 0.5, 0.75], [1.0, 0.75, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    for augmentation in (0.0, 1e-4):
        assert choose(front, ReferencePoint({"a": 0, "b": 0, "c": 0}, augmentation)).point.id == 1


def test_a_larger_augmentation_trades_the_worst_shortfall_for_the_sum(front_of):
    front = front_of([[0.5, 0.5], [0.0, 0.6], [1.0, 0.0]])
    aspiration = {"a": 0.0, "b": 0.0}
    assert choose(front, ReferencePoint(aspiration)).point.id == 0
    assert choose(front, ReferencePoint(aspiration, augmentation=1.0)).point.id == 1


def test_a_maximised_objective_is_wished_in_its_own_direction(front_of):
    front = front_of([[0.9, 3.0], [0.8, 2.0], [0.5, 1.0]], "+-")
    assert choose(front, ReferencePoint({"a": 0.9, "b": 3.0})).point.id == 0
    assert choose(front, ReferencePoint({"a": 0.5, "b": 1.0})).point.id == 2


@pytest.mark.parametrize("rho", [-1.0, float("nan"), float("inf")])
def test_a_negative_augmentation_is_refused(rho):
    with pytest.raises(DataError, match="augmentation is"):
        ReferencePoint({"a": 0.0}, rho)


@given(
    values=arrays(np.float64, (7, 3), elements=st.integers(-9, 9).map(float)),
    goal=st.tuples(*[st.integers(-12, 12)] * 3),
    powers=st.tuples(*[st.integers(-20, 20)] * 3),
    directions=st.sampled_from(["---", "+-+"]),
)
def test_it_is_the_formula_and_does_not_depend_on_the_units(front_of, values, goal, powers, directions):
    signs = np.array([1.0 if direction == "-" else -1.0 for direction in directions])
    values = values[is_nondominated(values)]
    units = 2.0 ** np.array(powers)  # exact, so even ties stay ties
    wish = dict(zip("abc", signs * goal, strict=True))
    plain = choose(front_of(values * signs, directions), ReferencePoint(wish))
    scaled_wish = dict(zip("abc", signs * goal * units, strict=True))
    scaled = choose(front_of(values * signs * units, directions), ReferencePoint(scaled_wish))
    assert plain.point.id == scaled.point.id

    width = np.ptp(values, axis=0)
    terms = [[(v[m] - goal[m]) / width[m] for m in range(3) if width[m] > 0] for v in values]
    achievement = [max(row, default=0.0) + 1e-4 * sum(row) for row in terms]
    assert achievement[plain.point.id] == pytest.approx(min(achievement), abs=1e-13)
