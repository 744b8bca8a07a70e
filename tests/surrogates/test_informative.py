from __future__ import annotations

import numpy as np
import pytest

from paretomerge.errors import DataError
from paretomerge.surrogates import fit_discrepancy, informative_points
from paretomerge.surrogates.discrepancy_prior import Places
from paretomerge.types import Objective, Scores, simplex_grid


def discrepancy(tasks: int, known: np.ndarray | None = None):
    """With the single finetunes known, and more."""
    names = tuple("abcd"[:tasks])
    weights = np.eye(tasks) if known is None else np.concatenate([known, np.eye(tasks)])
    objectives = tuple(Objective(f"loss[{t}]", "minimise", "", (0.0, None), t, "loss") for t in names)
    values = 0.5 + (1 - weights) ** 2
    scores = Scores(names, weights, values, np.zeros_like(values), objectives, "merged")
    return fit_discrepancy(scores, scores)


def test_with_two_tasks_the_middle_comes_first_and_then_either_side() -> None:
    grid = simplex_grid(2, 16)
    found = informative_points(discrepancy(2), grid, 3)
    assert 5 <= found[0] <= 11
    sides = sorted(grid[row, 0] for row in found[1:])
    assert sides[0] < grid[found[0], 0] < sides[1]


def test_weightings_that_leave_a_task_out_come_last() -> None:
    """Three weightings of the grid of quarters give every task some weight; they are asked for first."""
    grid = simplex_grid(3, 4)
    found = informative_points(discrepancy(3), grid, 5)
    assert len(set(found)) == 5
    assert (grid[list(found[:3])] > 0).all()
    assert (grid[list(found[3:])] == 0).any(axis=1).all()


def test_corners_and_what_is_known_are_not_asked_for_again() -> None:
    grid = simplex_grid(3, 4)
    middle = grid[(grid > 0).all(axis=1)]
    found = informative_points(discrepancy(3, middle[:2]), grid, 99)
    asked = grid[list(found)]
    assert len(found) == len(grid) - 3 - 2
    assert (asked.max(axis=1) < 1).all()
    assert not any(np.allclose(row, one) for row in asked for one in middle[:2])
    assert asked[0].tolist() == middle[2].tolist()


def test_the_given_first_points_lead_and_keep_the_others_away() -> None:
    grid = simplex_grid(2, 16)
    found = informative_points(discrepancy(2), grid, 2, first=[5])
    assert found[0] == 5
    assert abs(grid[found[1], 0] - grid[5, 0]) > 0.2
    assert informative_points(discrepancy(2), grid, 1, first=[5, 9]) == (5,)
    assert informative_points(discrepancy(2), grid, 2, first=[0])[0] != 0, "a finetune is known"
    with pytest.raises(DataError, match="points 0 to 16, not 17"):
        informative_points(discrepancy(2), grid, 2, first=[17])


def test_each_point_leaves_the_smallest_mean_variance_of_all_that_are_free() -> None:
    """By fitting anew with each candidate added: variances do not depend on what is found there."""
    grid = simplex_grid(3, 6)
    inner = grid[(grid > 0).all(axis=1)]
    base = discrepancy(3, inner[[4]])
    [best] = informative_points(base, inner, 1)

    def mean_variance(row: int) -> float:
        total = 0.0
        for member in base.members:
            rows, shares = member.leading
            settings = member.settings.take(rows)
            known = Places.of(np.concatenate([inner[[4]], np.eye(3), inner[[row]]]), member.column)
            targets = Places.of(inner, member.column)
            for draw, share in enumerate(shares):
                one = settings.take(np.array([draw]))
                [covariance], [noise] = one.covariance(known, known), one.noise_variance(known)
                [across] = one.covariance(targets, known)
                solved = np.linalg.solve(covariance + np.diag(noise + 1e-8), across.T)
                total += share * float((one.variance(targets)[0] - (across * solved.T).sum(axis=1)).mean())
        return total

    variances = [mean_variance(row) if row != 4 else np.inf for row in range(len(inner))]
    assert variances[best] == pytest.approx(min(variances), rel=1e-6)
    assert np.sort(variances)[0] < 0.99 * np.sort(variances)[3]


def test_large_fronts_are_thinned_and_nothing_wanted_is_nothing() -> None:
    grid = simplex_grid(3, 40)
    found = informative_points(discrepancy(3), grid, 3)
    assert len(set(found)) == 3
    assert (grid[list(found)] > 0).all()
    assert informative_points(discrepancy(3), grid, 0) == ()
    assert informative_points(discrepancy(3), np.eye(3), 4) == ()
