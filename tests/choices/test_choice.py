from __future__ import annotations

import pytest

from paretomerge.choices import ByWeights, ChoiceRule, Knee, ReferencePoint, Thresholds, choose
from paretomerge.errors import DataError

RULES = [
    ByWeights({"x": 1.0, "y": 0.0}),
    Thresholds({"a": 5.0}),
    ReferencePoint({"a": 0.0}),
    Knee(),
]


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


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
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
    assert [point.id for point in choice.alternatives] == [3, 0]


def test_nearness_does_not_depend_on_the_units(front_of):
    values = [[0.0, 8.0], [1.0, 6.0], [4.0, 5.0], [16.0, 0.0]]
    rule = ByWeights({"x": 1 / 3, "y": 2 / 3})
    plain = choose(front_of(values), rule)
    scaled = choose(front_of([[v * 1024, w / 1024] for v, w in values]), rule)
    assert [point.id for point in plain.alternatives] == [point.id for point in scaled.alternatives] == [2, 0]


@pytest.mark.parametrize("rule", ["knee", Knee, {"a": 0.5}, None])
def test_what_is_no_rule_is_refused(rule, front_of):
    with pytest.raises(DataError, match=r"is not a rule: give ByWeights\(\.\.\.\)"):
        choose(front_of([[2.0, 3.0]]), rule)


@pytest.mark.parametrize("rule", [Thresholds({"aa": 1.0}), ReferencePoint({"aa": 1.0})])
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
