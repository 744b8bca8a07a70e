from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from paretomerge.errors import DataError
from paretomerge.fronts.proposals import look_around, propose, propose_from
from paretomerge.types import Constraint


def test_points_are_new_distinct_and_inside(situation):
    problem, surrogate, _ = situation(3, 6)
    points = propose(surrogate, problem, 6, seed=0).points
    problem.domain.checked(points)
    assert points.shape == (6, 3)
    assert len(np.unique(points.round(6), axis=0)) == 6
    assert np.abs(points[:, None] - surrogate.scores.weights).max(axis=2).min() > 1e-3


@pytest.mark.parametrize("tasks", [2, 5])
def test_a_larger_batch_starts_with_a_smaller_one(situation, tasks):
    problem, surrogate, _ = situation(tasks, 6)
    small, large = (propose(surrogate, problem, count, seed=1).points for count in (2, 5))
    np.testing.assert_array_equal(large[:2], small)


def test_the_seed_decides_everything(situation):
    problem, surrogate, _ = situation(2, 5)
    one, two, other = (propose(surrogate, problem, 3, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.points, two.points)
    assert one.gain == two.gain
    assert (one.points != other.points).any()


def test_pending_points_are_not_proposed_again_and_change_what_is(situation):
    problem, surrogate, _ = situation(2, 5)
    alone = propose(surrogate, problem, 4, seed=2).points
    waiting = propose(surrogate, problem, 4, seed=2, pending=alone[:1]).points
    assert np.abs(waiting[:, None] - alone[:1]).max(axis=2).min() > 1e-3
    # A pending point counts as a chosen one: the next is chosen as if it had been first.
    assert np.abs(waiting[0] - alone[0]).max() > 0.02


def test_failed_points_are_avoided(situation):
    problem, surrogate, _ = situation(2, 5)
    first = propose(surrogate, problem, 3, seed=2).points
    again = propose(surrogate, problem, 3, seed=2, avoid=first).points
    assert np.abs(again[:, None] - first).max(axis=2).min() > 1e-3


def test_the_gain_falls_as_the_front_is_learned(situation):
    gains = []
    for count in (4, 60):
        problem, surrogate, _ = situation(3, count)
        gains.append(propose(surrogate, problem, 5, seed=0).gain)
    assert 0.0 <= gains[1] < 0.2 * gains[0]


def test_a_larger_batch_gains_more(situation):
    problem, surrogate, _ = situation(3, 5)
    gains = [propose(surrogate, problem, count, seed=0).gain for count in (1, 4, 12)]
    assert 0 < gains[0] < gains[1] < gains[2]


def test_points_that_cannot_be_feasible_are_not_chosen_for_improvement(situation):
    # Of the 2nd, 4th, … point, which improve the front, none may break the limit in all draws.
    constraints = (Constraint("score[task2]", 0.75, upper=False),)
    problem, surrogate, _ = situation(3, 30)
    limited = replace(problem, constraints=constraints)
    points = propose(surrogate, limited, 8, seed=0).points[1::2]
    mean, stdev = surrogate.predict(points)
    assert (mean[:, 2] + 4 * stdev[:, 2] > 0.75).all()
    free = propose(surrogate, replace(problem, traded=("score[task0]", "score[task1]")), 8, seed=0).points[1::2]
    assert not (surrogate.predict(free)[0][:, 2] > 0.7).all()


def test_more_than_four_objectives_are_scalarised(situation, monkeypatch):
    problem, surrogate, _ = situation(5, 8)

    def forbidden(*arguments: object) -> None:
        raise AssertionError("no boxes above four objectives")

    monkeypatch.setattr("paretomerge.fronts.proposals.noisy.undominated_boxes", forbidden)
    proposal = propose(surrogate, problem, 4, seed=0)
    assert proposal.points.shape == (4, 5)
    assert proposal.gain > 0


def test_the_reference_point_decides_which_part_of_the_front_is_improved(situation):
    problem, surrogate, _ = situation(2, 4)
    outlook = look_around(surrogate, [0, 1], seed=0)
    best = surrogate.predict(outlook.front)[0][:, 0].max()
    high = np.array([best - 0.05, 0.0])
    improving = propose(surrogate, problem, 6, seed=0, reference=high).points[1::2]
    anywhere = propose(surrogate, problem, 6, seed=0).points[1::2]
    assert surrogate.predict(improving)[0][:, 0].min() > surrogate.predict(anywhere)[0][:, 0].min() + 0.05


def test_a_domain_without_new_points_gives_none(situation):
    problem, surrogate, _ = situation(2, 5)
    outlook = replace(look_around(surrogate, [0, 1]), candidates=np.zeros((0, 2)))
    proposal = propose_from(outlook, surrogate, problem, 3, seed=0)
    assert proposal.points.shape == (0, 2)
    assert proposal.gain == 0.0


def test_without_scores_the_posteriors_alone_are_enough(situation):
    from paretomerge.surrogates import PosteriorInformed, fit_surrogate

    problem, surrogate, _ = situation(3, 4)
    nothing = surrogate.scores.take([])
    blank = fit_surrogate(nothing, PosteriorInformed(problem.predicted_losses, problem.tasks), problem.domain)
    assert propose(blank, problem, 3, seed=0).points.shape == (3, 3)


def test_bad_requests_are_refused(situation):
    problem, surrogate, _ = situation(2, 5)
    with pytest.raises(DataError, match="number of points >= 1, got 0"):
        propose(surrogate, problem, 0, seed=0)
    with pytest.raises(DataError, match="fit it to scores of all objectives"):
        propose(surrogate, replace(problem, objectives=problem.objectives[::-1]), 1, seed=0)
    with pytest.raises(DataError, match=r"reference point has shape \[3\], expected \[2\]"):
        propose(surrogate, problem, 1, seed=0, reference=[0.0, 0.0, 0.0])
