from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paretomerge.choices import Knee, OneStandardError, ReferencePoint, Thresholds, choose
from paretomerge.errors import DataError, InfeasibleError, WeightsError
from paretomerge.fronts import is_nondominated

BEST_ON_B = Thresholds({"a": 10.0}, best="b")


def line(front_of):
    """Eleven points from weights (0, 1) to (1, 0); b falls by 0.1 from each to the next."""
    a = np.linspace(0.0, 1.0, 11)
    return front_of(np.stack([a, 1.0 - a], axis=1))


def moving_but_one(front, error, fixed=-1, column=1):
    """Draws in which an objective moves by ±error together at all points but one: so do differences to that one."""
    noise = np.zeros((4, *front.values.shape))
    noise[:2, :, column], noise[2:, :, column] = error, -error
    noise[:, fixed] = 0.0
    return front.values + noise


def test_it_is_the_most_even_of_the_points_within_the_error_of_the_difference(front_of, uncertainty_of):
    front = line(front_of)
    for error, point in ((0.05, 10), (0.15, 9), (0.35, 7), (0.55, 5), (2.0, 5)):
        choice = choose(front, OneStandardError(BEST_ON_B), uncertainty_of(front, moving_but_one(front, error)))
        assert choice.point.id == point
    assert choice.rule == (
        "the most even weights of the 11 points within one standard error of point 10 (4 joint draws): "
        "at least as good as a <= 10; then best on b"
    )


def test_an_error_that_all_points_share_widens_nothing(front_of, uncertainty_of):
    front = line(front_of)
    together = front.values + np.linspace(-1.0, 1.0, 9)[:, None, None]
    assert choose(front, OneStandardError(BEST_ON_B), uncertainty_of(front, together)).point.id == 10
    apart = type(front)(
        front.tasks,
        front.weights,
        front.values,
        np.full_like(front.values, 0.5),
        front.objectives,
        front.reference,
        front.origin,
    )
    choice = choose(apart, OneStandardError(BEST_ON_B))
    assert choice.point.id == 5
    assert "200 independent normal draws" in choice.rule


def test_simple_may_mean_other_weights(front_of, uncertainty_of):
    front = line(front_of)
    draws = uncertainty_of(front, moving_but_one(front, 2.0))
    assert choose(front, OneStandardError(BEST_ON_B, {"y": 0.8, "x": 0.2}), draws).point.id == 2
    choice = choose(front, OneStandardError(BEST_ON_B, {"x": 0.0, "y": 0.0}), draws)
    assert choice.point.id == 5
    assert choice.rule.startswith("weights nearest to those asked for of the 11 points")


def test_equally_simple_points_are_told_apart_by_the_criterion(front_of, uncertainty_of):
    """Weights (0.3, 0.7) and (0.7, 0.3) are equally even; the second has the smaller b."""
    weights = [[0.0, 1.0], [0.3, 0.7], [0.7, 0.3], [1.0, 0.0]]
    front = front_of([[0.0, 1.0], [0.3, 0.7], [0.7, 0.3], [1.0, 0.0]], weights=weights)
    draws = uncertainty_of(front, moving_but_one(front, 2.0))
    assert choose(front, OneStandardError(BEST_ON_B), draws).point.id == 2
    draws = uncertainty_of(front, moving_but_one(front, 2.0, fixed=0, column=0))
    assert choose(front, OneStandardError(Thresholds({"b": 10.0}, best="a")), draws).point.id == 1


def test_coefficients_are_even_when_they_are_all_the_same_whatever_their_size(front_of, uncertainty_of):
    weights = [[0.0, 1.0], [0.9, 0.9], [0.6, 0.5], [1.0, 0.0]]
    front = front_of([[0.0, 1.0], [0.3, 0.7], [0.7, 0.3], [1.0, 0.0]], weights=weights)
    assert choose(front, OneStandardError(BEST_ON_B), uncertainty_of(front, moving_but_one(front, 2.0))).point.id == 1


def test_points_that_break_a_threshold_are_never_simple_enough(front_of, uncertainty_of):
    front = line(front_of)
    noise = np.random.default_rng(0).standard_normal((50, *front.values.shape))
    draws = uncertainty_of(front, front.values + noise)
    for limit, point in ((0.75, 5), (0.35, 7)):
        choice = choose(front, OneStandardError(Thresholds({"b": limit}, best="a")), draws)
        assert choice.point.id == point
        held = (front.values + noise)[:, point, 1] <= limit
        assert choice.probability_fulfilled == held.mean()
    with pytest.raises(InfeasibleError):
        choose(front, OneStandardError(Thresholds({"a": -1.0})), draws)


@given(
    values=arrays(np.float64, (7, 3), elements=st.integers(-9, 9).map(float)),
    powers=st.tuples(*[st.integers(-20, 20)] * 3),
    rule=st.sampled_from([Knee(), ReferencePoint({"a": 1.0}, 0.5)]),
)
def test_where_scores_are_certain_it_is_as_good_as_the_rule_itself(front_of, uncertainty_of, values, powers, rule):
    """Of points with the same criterion it may take the simpler one."""
    front = front_of(values[is_nondominated(values)])
    if isinstance(rule, Knee):
        certain = uncertainty_of(front, np.repeat(front.values[None], 3, axis=0))
        criterion = rule.criterion(front, front.values)
        point = choose(front, OneStandardError(rule), certain).point.id
        assert criterion[point] == criterion.min()
    scaled = front_of(front.values * 2.0 ** np.array(powers))
    wish = ReferencePoint({"a": 1.0}, 0.5), ReferencePoint({"a": 2.0 ** powers[0]}, 0.5)
    noise = np.random.default_rng(0).integers(-2, 3, (6, *front.values.shape)).astype(float)
    first = choose(front, OneStandardError(wish[0]), uncertainty_of(front, front.values + noise))
    draws = (front.values + noise) * 2.0 ** np.array(powers)
    assert first.point.id == choose(scaled, OneStandardError(wish[1]), uncertainty_of(scaled, draws)).point.id


def test_bad_settings_are_refused(front_of):
    with pytest.raises(DataError, match="OneStandardError cannot wrap None: give a rule with a criterion"):
        OneStandardError(None)
    with pytest.raises(WeightsError, match="towards must be a mapping"):
        OneStandardError(Knee(), [0.5, 0.5])
    with pytest.raises(WeightsError, match="no weight for task 'y'"):
        choose(line(front_of), OneStandardError(Knee(), {"x": 1.0}))
