from __future__ import annotations

import moocore
import numpy as np

from paretomerge.fronts.proposals import HypervolumeCriterion

REFERENCE = np.array([1.1, 1.1, 1.1])


def volume(points: np.ndarray) -> float:
    return moocore.hypervolume(points, ref=REFERENCE)


def test_gains_are_mean_differences_of_hypervolumes_over_draws():
    rng = np.random.default_rng(0)
    points, candidates = rng.random((6, 5, 3)), rng.random((6, 4, 3))
    criterion = HypervolumeCriterion.of(points, REFERENCE)
    expected = [
        np.mean([volume(np.vstack([points[s], candidates[s, k]])) - volume(points[s]) for s in range(6)])
        for k in range(4)
    ]
    np.testing.assert_allclose(criterion.gains(candidates), expected, rtol=1e-12)
    np.testing.assert_allclose(criterion.level, np.mean([volume(draw) for draw in points]), rtol=1e-13)


def test_a_chosen_point_counts_from_then_on():
    rng = np.random.default_rng(1)
    points, candidates = rng.random((6, 5, 3)), rng.random((6, 4, 3)) * 0.8
    criterion = HypervolumeCriterion.of(points, REFERENCE)
    gains = criterion.gains(candidates)
    after = criterion.with_points(candidates[:, [1]])
    np.testing.assert_allclose(after.level, criterion.level + gains[1], rtol=1e-12)
    np.testing.assert_allclose(after.gains(candidates)[1], 0.0, atol=1e-15)


def test_infeasible_draws_and_points_beyond_the_reference_have_no_volume():
    points = np.full((2, 1, 3), np.inf)
    points[0] = 0.1
    criterion = HypervolumeCriterion.of(points, REFERENCE)
    assert criterion.level == volume(np.full((1, 3), 0.1)) / 2
    far = np.full((2, 1, 3), 2.0)
    assert HypervolumeCriterion.of(far, REFERENCE).level == 0.0
    # Where nothing is known to be feasible, a feasible draw is worth all of its volume.
    np.testing.assert_allclose(criterion.gains(np.full((2, 1, 3), 0.1)), [volume(np.full((1, 3), 0.1)) / 2], rtol=1e-12)
