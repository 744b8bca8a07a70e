from __future__ import annotations

import numpy as np

from paretomerge.fronts.proposals import ScalarisedCriterion, chebyshev, preferences
from paretomerge.fronts.proposals.scalarised import AUGMENTATION


def test_it_is_the_largest_weighted_value_plus_a_little_of_their_sum():
    rng = np.random.default_rng(0)
    values, weights = rng.standard_normal((4, 3, 5)), rng.dirichlet(np.ones(5), 6)
    found = chebyshev(values, weights)
    for index in np.ndindex(4, 3, 6):
        products = values[index[:2]] * weights[index[2]]
        np.testing.assert_allclose(found[index], products.max() + AUGMENTATION * products.sum(), rtol=1e-13)


def test_an_infinite_value_is_infinitely_bad_for_every_preference():
    found = chebyshev(np.array([[np.inf, 0.0]]), np.array([[0.1, 0.9], [0.9, 0.1]]))
    assert np.isposinf(found).all()


def test_a_concave_part_of_a_front_wins_for_some_preference():
    # Minimised, the middle point is worse than every weighted sum of the ends, and yet non-dominated.
    front = np.array([[0.0, 1.0], [0.6, 0.6], [1.0, 0.0]])
    winners = chebyshev(front, preferences(2, 64, 0)).argmin(axis=0)
    assert set(winners) == {0, 1, 2}


def test_a_weakly_dominated_point_never_wins():
    values = np.array([[0.0, 0.5], [0.0, 1.0]])
    assert (chebyshev(values, preferences(2, 64, 0)).argmin(axis=0) == 0).all()


def test_preferences_are_positive_and_sum_to_one_with_the_centre_first():
    weights = preferences(6, 100, 3)
    assert (weights > 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(weights[0], 1 / 6, rtol=1e-12)
    # Every other one is near a face of fewer objectives.
    assert np.sort(weights[1::2], axis=1)[:, -1].mean() > np.sort(weights[2::2], axis=1)[:, -1].mean() + 0.1
    assert preferences(1, 3, 0).tolist() == [[1.0]] * 3


def test_gains_are_mean_improvements_over_draws_and_preferences():
    rng = np.random.default_rng(1)
    points, candidates = rng.random((8, 4, 6)), rng.random((8, 5, 6)) * 0.8
    criterion = ScalarisedCriterion.of(points, seed=0, per_draw=3)
    expected = np.zeros(5)
    for draw in range(8):
        weights = criterion.weights[draw]
        best = chebyshev(points[draw], weights).min(axis=0)
        expected += np.maximum(best - chebyshev(candidates[draw], weights), 0.0).mean(axis=1) / 8
    np.testing.assert_allclose(criterion.gains(candidates), expected, rtol=1e-12)
    assert (expected > 0).any()


def test_a_chosen_point_leaves_nothing_to_gain_from_itself_and_raises_the_level_by_its_gain():
    rng = np.random.default_rng(2)
    points, candidates = rng.random((8, 4, 6)), rng.random((8, 5, 6)) * 0.7
    criterion = ScalarisedCriterion.of(points, seed=0)
    gains = criterion.gains(candidates)
    after = criterion.with_points(candidates[:, [2]])
    assert after.gains(candidates)[2] == 0.0
    assert (after.gains(candidates) <= gains + 1e-15).all()
    np.testing.assert_allclose(after.level, criterion.level + gains[2], rtol=1e-10)


def test_without_points_the_worst_of_the_front_is_what_is_improved_on():
    criterion = ScalarisedCriterion.of(np.zeros((4, 0, 5)), seed=0)
    assert criterion.level == 0.0
    gains = criterion.gains(np.stack([np.zeros((4, 5)), np.full((4, 5), np.inf)], axis=1))
    np.testing.assert_allclose(gains, [1.0 + AUGMENTATION, 0.0], rtol=1e-12)


def test_each_draw_has_preferences_of_its_own():
    weights = ScalarisedCriterion.of(np.zeros((5, 1, 6)), seed=0, per_draw=4).weights
    assert weights.shape == (5, 4, 6)
    assert len(np.unique(weights.reshape(-1, 6), axis=0)) == 20
