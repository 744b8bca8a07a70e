from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paretomerge.choices import (
    ByWeights,
    Classification,
    Knee,
    MinimumRegret,
    ReferencePoint,
    Thresholds,
    choose,
)
from paretomerge.choices.regret import regret
from paretomerge.errors import DataError, InfeasibleError
from paretomerge.fronts import is_nondominated
from paretomerge.types import Objective, simplex_grid

WRAPPED = [
    ByWeights({"x": 0.6, "y": 0.4}),
    Classification(0, improve=["b"]),
    Knee(),
    ReferencePoint({"a": 1.0, "c": 0.0}),
    Thresholds({"a": 3.0}, best="b"),
]


@pytest.mark.parametrize("rule", WRAPPED, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("risk", ["mean", 0.9])
@settings(max_examples=30)
@given(values=arrays(np.float64, (7, 3), elements=st.integers(-9, 9).map(float)), draws=st.integers(1, 5))
def test_where_scores_are_certain_it_is_the_rule_itself(front_of, uncertainty_of, rule, risk, values, draws):
    values = values[is_nondominated(values)]
    front = front_of(values)
    try:
        expected = choose(front, rule).point.id
    except InfeasibleError:
        with pytest.raises(InfeasibleError):
            choose(front, MinimumRegret(rule, risk))
        return
    certain = uncertainty_of(front, np.repeat(values[None], draws, axis=0))
    assert choose(front, MinimumRegret(rule, risk), certain).point.id == expected


def gamble(front_of, uncertainty_of):
    """Point 1 looks best on b by a little and is in truth either much worse or a little better than point 0."""
    front = front_of([[0.0, 0.5], [0.1, 0.4], [1.0, 0.0]])
    good, bad = front.values.copy(), front.values.copy()
    good[1, 1], bad[1, 1] = 0.1, 1.0
    return front, uncertainty_of(front, np.stack([good] * 6 + [bad] * 4))


def test_it_prefers_what_is_surely_good_to_a_gamble(front_of, uncertainty_of):
    """On b alone among the points with a <= 0.5: regrets of point 0 are 0.4 or 0, of point 1 0 or 0.5."""
    front, uncertainty = gamble(front_of, uncertainty_of)
    rule = Thresholds({"a": 0.5}, best="b")
    assert choose(front, rule, uncertainty).point.id == 1
    mean = choose(front, MinimumRegret(rule), uncertainty)
    assert mean.point.id == 1
    assert mean.rule == "smallest mean regret over 10 joint draws, 0.4: at least as good as a <= 0.5; then best on b"
    high = choose(front, MinimumRegret(rule, 0.9), uncertainty)
    assert high.point.id == 0
    assert high.rule == (
        "smallest 0.9 quantile of regret over 10 joint draws, 0.8 (of point 1, the best by the estimates, 1): "
        "at least as good as a <= 0.5; then best on b"
    )
    assert high.probability_fulfilled == 1.0


def test_its_demands_are_those_of_the_rule_and_regret_is_counted_among_the_points_that_fulfil_them(
    front_of, uncertainty_of
):
    """Point 2 is far better on b in every draw, but not allowed: it neither wins nor counts."""
    front, uncertainty = gamble(front_of, uncertainty_of)
    rule = Thresholds({"a": 0.5}, best="b")
    among = np.array([True, True, False])
    found = regret(front, uncertainty.samples.astype(float), rule, among)
    np.testing.assert_allclose(found[[0, -1], :2], [[0.8, 0.0], [0.0, 1.0]], atol=1e-6)
    with pytest.raises(InfeasibleError, match="none of the 3 points is at least as good as a <= -1"):
        choose(front, MinimumRegret(Thresholds({"a": -1.0})), uncertainty)


def test_without_a_rule_it_is_the_regret_under_the_worst_of_all_weightings(front_of):
    """The closed form against a grid of Chebyshev weightings, and of weighted sums, which have the same worst case."""
    rng = np.random.default_rng(0)
    table = rng.random((40, 3))
    front = front_of(table[is_nondominated(table)])
    values = front.values + 0.1 * rng.standard_normal((20, *front.values.shape))
    found = regret(front, values, None, np.ones(len(front), dtype=bool))
    scaled = (values - values.min(axis=1, keepdims=True)) / np.ptp(front.values, axis=0)
    for scalarised in (
        [(weights * scaled).max(axis=2) for weights in simplex_grid(3, 12)],
        [(weights * scaled).sum(axis=2) for weights in simplex_grid(3, 12)],
    ):
        regrets = [criterion - criterion.min(axis=1, keepdims=True) for criterion in scalarised]
        np.testing.assert_allclose(np.max(regrets, axis=0), found, atol=1e-12)


def test_without_a_rule_and_where_scores_are_certain_the_largest_loss_is_smallest(circle, uncertainty_of):
    for concave in (False, True):
        front = circle(concave=concave)
        choice = choose(front, MinimumRegret(), uncertainty_of(front, front.values[None]))
        assert choice.point.id == 10
        assert choice.rule.endswith(f"under the worst preference, {front.values[10, 0]:.3g} of an objective's range")


def test_what_all_points_share_is_not_regretted(front_of, uncertainty_of):
    """A draw that moves all points together changes nothing, however far it goes."""
    front = front_of([[0.0, 1.0], [0.25, 0.25], [1.0, 0.0]])
    moves = 10 * np.random.default_rng(1).standard_normal((30, 1, 2))
    for rule in (MinimumRegret(), MinimumRegret(Knee()), MinimumRegret(Thresholds({"a": 0.5}, best="b"), 0.9)):
        choice = choose(front, rule, uncertainty_of(front, front.values + moves))
        assert choice.point.id == 1
        assert float(choice.rule.split(", ")[1].split(":")[0].split(" ")[0]) < (0.2501 if rule.of is None else 1e-5)


def test_without_joint_draws_the_standard_deviations_count_and_the_answer_says_so(front_of):
    """Point 1 is best by its estimate, but cannot be much better than that, only worse: draws respect the bounds."""
    front = front_of([[0.0, 0.5], [0.1, 0.49], [1.0, 0.48]])
    front = replace(
        front, stdev=np.zeros((3, 2)), objectives=(front.objectives[0], Objective("b", bounds=(0.48, None)))
    )
    unsure = replace(front, stdev=np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    rule = Thresholds({"a": 0.5}, best="b")
    assert choose(front, MinimumRegret(rule, 0.9)).point.id == 1
    choice = choose(unsure, MinimumRegret(rule, 0.9))
    assert choice.point.id == 0
    assert "200 independent normal draws (joint ones are not known)" in choice.rule
    assert choice == choose(unsure, MinimumRegret(rule, 0.9))


@given(
    values=arrays(np.float64, (6, 3), elements=st.integers(-9, 9).map(float)),
    noise=arrays(np.float64, (5, 6, 3), elements=st.integers(-3, 3).map(float)),
    powers=st.tuples(*[st.integers(-20, 20)] * 3),
    shifts=st.tuples(*[st.integers(-50, 50)] * 3),
    directions=st.sampled_from(["---", "+-+"]),
    rule=st.sampled_from([MinimumRegret(), MinimumRegret(Knee()), MinimumRegret(Knee(), 0.8)]),
)
def test_it_does_not_depend_on_the_units(front_of, uncertainty_of, values, noise, powers, shifts, directions, rule):
    signs = np.array([1.0 if direction == "-" else -1.0 for direction in directions])
    kept = is_nondominated(values)
    values, noise = values[kept], noise[:, kept]
    plain = front_of(values * signs, directions)
    units = signs * 2.0 ** np.array(powers)
    scaled = front_of((values + np.array(shifts)) * units, directions)
    first = choose(plain, rule, uncertainty_of(plain, (values + noise) * signs))
    again = choose(scaled, rule, uncertainty_of(scaled, (values + noise + np.array(shifts)) * units))
    assert first.point.id == again.point.id


@given(order=st.permutations(range(5)))
def test_it_does_not_depend_on_the_order_of_the_points(front_of, uncertainty_of, order):
    rng = np.random.default_rng(2)
    values = np.array([[0.0, 1.0], [0.2, 0.6], [0.45, 0.35], [0.7, 0.15], [1.0, 0.0]])
    draws = values + 0.2 * rng.standard_normal((50, 5, 2))
    rows = list(order)
    for rule in (MinimumRegret(), MinimumRegret(Thresholds({"a": 0.8}, best="b"), 0.9)):
        front, mixed = front_of(values), front_of(values[rows])
        point = choose(front, rule, uncertainty_of(front, draws)).point
        other = choose(mixed, rule, uncertainty_of(mixed, draws[:, rows])).point
        assert point.values == other.values


@pytest.mark.parametrize("risk", ["median", 0.0, 1.0, True, None, float("nan")])
def test_a_risk_that_is_none_is_refused(risk):
    with pytest.raises(DataError, match="expected 'mean' or a quantile between 0 and 1"):
        MinimumRegret(risk=risk)


@pytest.mark.parametrize("rule", [Knee, "knee", MinimumRegret()])
def test_what_has_no_criterion_cannot_be_wrapped(rule):
    with pytest.raises(DataError, match=r"MinimumRegret cannot wrap .*: give a rule with a criterion"):
        MinimumRegret(rule)


def test_points_that_are_all_the_same_are_not_regretted(front_of, uncertainty_of):
    front = front_of([[1.0, 2.0], [1.0, 2.0]])
    assert choose(front, MinimumRegret(), uncertainty_of(front, front.values[None])).point.id == 0
