from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from paretomerge.choices import (
    ByWeights,
    ChoiceRule,
    Classification,
    CriterionRule,
    Knee,
    MinimumRegret,
    OneStandardError,
    ReferencePoint,
    Thresholds,
    choose,
)
from paretomerge.errors import DataError

SIMPLE = [
    ByWeights({"x": 1.0, "y": 0.0}),
    Thresholds({"a": 5.0}),
    ReferencePoint({"a": 0.0}),
    Knee(),
]
WITHIN = [*SIMPLE, MinimumRegret(), MinimumRegret(Knee(), 0.9), OneStandardError(Thresholds({"a": 5.0}))]
RULES = [*WITHIN, Classification(0, improve=["b"])]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_every_rule_is_a_hashable_value_and_leaves_the_front_alone(rule, front_of):
    front = front_of([[0.0, 3.0], [1.0, 1.0], [3.0, 0.0]])
    before = front.values.copy()
    choice = choose(front, rule)
    assert isinstance(rule, ChoiceRule)
    assert {rule: 1}[rule] == 1
    assert choice == rule.choose(front)
    assert choice.point == front[choice.point.id]
    assert (front.values == before).all()


@pytest.mark.parametrize("rule", [*SIMPLE, Classification(0, improve=["b"])], ids=lambda rule: type(rule).__name__)
def test_a_rule_with_a_criterion_prefers_the_feasible_point_with_the_smallest(rule, front_of):
    front = front_of([[0.0, 3.0], [1.0, 1.0], [3.0, 0.0], [6.0, -1.0]])
    values = front.values
    criterion, feasible = rule.criterion(front, values), rule.feasible(front, values)
    assert isinstance(rule, CriterionRule)
    allowed = np.where(True if feasible is None else feasible, criterion, np.inf)
    assert choose(front, rule).point.id == int(np.argmin(allowed))
    # Many tables at once are as one after the other.
    tables = np.stack([values, values[::-1], 2 * values])
    each = [rule.criterion(front, table) for table in tables]
    np.testing.assert_array_equal(rule.criterion(front, tables), each)
    if feasible is not None:
        np.testing.assert_array_equal(rule.feasible(front, tables), [rule.feasible(front, table) for table in tables])


@pytest.mark.parametrize("rule", WITHIN, ids=lambda rule: type(rule).__name__)
def test_a_front_of_one_point_leaves_no_choice(rule, front_of):
    choice = choose(front_of([[2.0, 3.0]], weights=[[0.5, 0.5]]), rule)
    assert choice.point.id == 0
    assert choice.alternatives == ()
    assert choice.gives_up == {"a": 0.0, "b": 0.0}


def test_what_is_given_up_is_positive_in_either_direction(front_of):
    front = front_of([[1.0, 0.25], [2.0, 0.5], [4.0, 0.75]], "-+")
    choice = choose(front, ByWeights({"x": 0.5, "y": 0.5}))
    assert choice.point.id == 1
    assert choice.gives_up == {"a": 1.0, "b": 0.25}


def test_the_alternatives_are_the_nearest_two_other_trade_offs(front_of):
    front = front_of([[0.0, 10.0], [1.0, 6.0], [1.0, 6.0], [2.0, 5.0], [10.0, 0.0]])
    choice = choose(front, ByWeights({"x": 0.25, "y": 0.75}))
    assert choice.point.id == 1
    assert [alternative.point.id for alternative in choice.alternatives] == [3, 0]


def test_an_alternative_says_what_it_gains_and_loses_in_the_objectives_units(front_of):
    front = front_of([[1.0, 0.25, 5.0], [2.0, 0.5, 5.0], [4.0, 0.75, 5.0]], "-+-")
    middle, far = choose(front, ByWeights({"x": 0.0, "y": 1.0})).alternatives
    assert (middle.point.id, middle.gains, middle.loses) == (1, {"b": 0.25}, {"a": 1.0})
    assert (far.point.id, far.gains, far.loses) == (2, {"b": 0.5}, {"a": 3.0})


def test_equally_close_weights_are_told_apart_by_the_values(front_of):
    """Points 1 and 2 are as close; point 2 has the smaller sum of normalised values."""
    front = front_of([[0.0, 1.0], [0.4, 0.5], [0.5, 0.3], [1.0, 0.0]])
    assert choose(front, ByWeights({"x": 0.5, "y": 0.5})).point.id == 2


def test_intervals_are_normal_and_within_the_bounds_when_only_deviations_are_known(front_of):
    front = front_of([[0.005, 0.5], [0.5, 0.505]], "-+")
    bounded = replace(front, objectives=tuple(replace(objective, bounds=(0.0, 0.51)) for objective in front.objectives))
    for given, low, high in ((front, 0.005 - 0.0164485, 0.5 + 0.0164485), (bounded, 0.0, 0.51)):
        choice = choose(given, ByWeights({"x": 0.0, "y": 1.0}))
        assert choice.interval["a"] == pytest.approx((low, 0.005 + 0.0164485), abs=1e-7)
        assert choice.interval["b"] == pytest.approx((0.5 - 0.0164485, high), abs=1e-7)
        assert (choice.level, choice.probability_nondominated, choice.probability_fulfilled) == (0.9, None, None)


def test_intervals_and_probabilities_are_those_of_the_uncertainty(front_of, uncertainty_of):
    front = front_of([[0.0, 3.0], [1.0, 1.0], [3.0, 0.0]])
    samples = front.values + np.array([[-0.5, 0.0], [0.25, 0.0], [0.5, 0.0], [0.75, 0.0]])[:, None]
    uncertainty = uncertainty_of(front, samples, level=0.5)
    choice = choose(front, Thresholds({"a": 1.5}, best="b"), uncertainty)
    assert choice.point.id == 1
    assert choice.interval == {"a": (0.5, 1.75), "b": (1.0, 1.0)}
    assert choice.level == 0.5
    assert choice.probability_nondominated == 0.25
    assert choice.probability_fulfilled == 0.75
    assert choose(front, Knee(), uncertainty).probability_fulfilled is None


def test_the_uncertainty_of_another_front_is_refused(front_of, uncertainty_of):
    front, other = front_of([[0.0, 3.0], [1.0, 1.0]]), front_of([[0.0, 3.0], [1.0, 1.0], [3.0, 0.0]])
    with pytest.raises(DataError, match="of another front: it has 3 points and the objectives a, b, the front has 2"):
        choose(front, Knee(), uncertainty_of(other, np.repeat(other.values[None], 2, axis=0)))
    turned = front_of([[0.0, 3.0], [1.0, 9.0]], "-+")
    with pytest.raises(DataError, match="of another front"):
        choose(turned, Knee(), uncertainty_of(front, np.repeat(front.values[None], 2, axis=0)))


def test_nearness_does_not_depend_on_the_units(front_of):
    values = [[0.0, 8.0], [1.0, 6.0], [4.0, 5.0], [16.0, 0.0]]
    rule = ByWeights({"x": 1 / 3, "y": 2 / 3})
    plain = choose(front_of(values), rule)
    scaled = choose(front_of([[v * 1024, w / 1024] for v, w in values]), rule)
    assert (
        [other.point.id for other in plain.alternatives] == [other.point.id for other in scaled.alternatives] == [2, 0]
    )


@pytest.mark.parametrize("rule", ["knee", Knee, {"a": 0.5}, None])
def test_what_is_no_rule_is_refused(rule, front_of):
    with pytest.raises(DataError, match=r"is not a rule: give ByWeights\(\.\.\.\)"):
        choose(front_of([[2.0, 3.0]]), rule)


@pytest.mark.parametrize(
    "rule", [Thresholds({"aa": 1.0}), ReferencePoint({"aa": 1.0}), Classification(0, improve_to={"aa": 1.0})]
)
def test_an_unknown_objective_is_named_with_the_nearest_one(rule, front_of):
    with pytest.raises(DataError, match=r"unknown objective 'aa' \(did you mean 'a'\?\).*are a, b"):
        choose(front_of([[2.0, 3.0]]), rule)


@pytest.mark.parametrize("rule", [Thresholds, ReferencePoint])
@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({}, "at least one entry"),
        ([1.0], "must be a mapping"),
        ({"a": "good"}, "'a' has 'good', expected a number"),
        ({"a": float("nan")}, "'a' has nan, expected a finite number"),
    ],
)
def test_wishes_that_mean_nothing_are_refused(rule, wishes, message):
    with pytest.raises(DataError, match=message):
        rule(wishes)


def test_a_choice_prints_its_weighting_and_a_line_per_objective(front_of):
    front = front_of([[0.0, 3.0], [1.0, 1.0], [3.0, 0.0]])
    lines = repr(choose(front, Knee())).splitlines()
    weights = ", ".join(f"{task} {weight:.4g}" for task, weight in front[1].weights.items())
    assert lines[0] == f"Choice of point 1 (merged): {weights}"
    assert lines[1].startswith("  rule: knee")
    assert lines[2].startswith("  a: 1, 90 % interval ")
    assert lines[2].endswith("gives up 1")
    assert lines[3].startswith("  b: 1, 90 % interval ")
    assert lines[-1].startswith("  nearest alternatives: point ")
    assert len(lines) == 5
