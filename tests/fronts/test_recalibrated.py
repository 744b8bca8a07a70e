from __future__ import annotations

import numpy as np
import pytest

from paretomerge.errors import DataError
from paretomerge.fronts import front_uncertainty, recalibrated_front
from paretomerge.surrogates import fit_discrepancy
from paretomerge.types import Front, Objective, Scores, simplex_grid

TASKS = ("a", "b")
OBJECTIVES = tuple(Objective(f"loss[{t}]", "minimise", "nats", (0.0, None), t, "loss") for t in TASKS)
HITS = tuple(Objective(f"hits[{t}]", "maximise", "", (0.0, 1.0), t, "hits") for t in TASKS)
WEIGHTS = simplex_grid(2, 8)


def previews(weights: np.ndarray) -> np.ndarray:
    return 0.3 + (1 - weights) ** 2


def truths(weights: np.ndarray) -> np.ndarray:
    return previews(weights) * np.exp(-0.5 * (1 - weights))


def scores(weights: np.ndarray, values: np.ndarray, objectives: tuple[Objective, ...] = OBJECTIVES) -> Scores:
    return Scores(TASKS, weights, values, np.zeros_like(values), objectives, ("merged",) * len(weights))


def front(stdev: float = 0.0) -> Front:
    values = previews(WEIGHTS)
    return Front(
        TASKS, WEIGHTS, values, np.full_like(values, stdev), OBJECTIVES, [2.0, 2.0], ("predicted",) * len(values)
    )


def discrepancy(known: np.ndarray, after: np.ndarray | None = None):
    weights = np.concatenate([known, np.eye(2)])
    found = np.concatenate([truths(known) if after is None else after, previews(np.eye(2))])
    return fit_discrepancy(scores(weights, previews(weights)), scores(weights, found))


def test_points_keep_their_weights_and_move_to_what_joint_finetuning_reaches() -> None:
    given = front()
    found = recalibrated_front(given, discrepancy(WEIGHTS[[2, 4, 6]]))
    assert found.front.weights.tolist() == WEIGHTS[found.survivors].tolist()
    inner = (found.front.weights > 0).all(axis=1)
    np.testing.assert_allclose(found.front.values[inner], truths(found.front.weights[inner]), rtol=0.05)
    np.testing.assert_allclose(found.front.values, (given.values + found.moved)[found.survivors])
    assert set(found.front.origin) == {"predicted"}
    assert found.front.reference.tolist() == [2.0, 2.0]


def test_what_another_point_dominates_now_is_dropped() -> None:
    """Training shows the middle to be better in both than previewed, and one side to be worse."""
    known = WEIGHTS[[2, 4]]
    after = previews(known) * np.array([[1.35, 1.35], [0.7, 0.75]])
    found = recalibrated_front(front(), discrepancy(known, after))
    assert 4 in found.survivors
    assert 2 not in found.survivors
    assert len(found.survivors) > 2
    kept = found.front.values
    dominated = (kept[:, None] >= kept[None]).all(axis=2) & (kept[:, None] > kept[None]).any(axis=2)
    assert not dominated.any()


def test_the_error_has_the_previews_part_and_that_of_the_discrepancy() -> None:
    known = WEIGHTS[[2, 4, 6]]
    sure, unsure = (recalibrated_front(front(stdev), discrepancy(known)) for stdev in (0.0, 0.2))
    assert sure.survivors.tolist() == unsure.survivors.tolist()
    assert (sure.uncertainty.parts["preview"] == 0).all()
    np.testing.assert_allclose(sure.uncertainty.parts["discrepancy"], sure.front.stdev)
    ratio = unsure.front.values / previews(unsure.front.weights)
    np.testing.assert_allclose(unsure.uncertainty.parts["preview"], 0.2 * ratio, rtol=1e-6)
    parts = unsure.uncertainty.parts
    np.testing.assert_allclose(unsure.front.stdev, np.hypot(parts["preview"], parts["discrepancy"]))


def test_its_uncertainty_is_that_of_its_own_points_and_goes_through_json() -> None:
    found = recalibrated_front(front(0.05), discrepancy(WEIGHTS[[4]]), level=0.8, draws=400, seed=1)
    uncertainty = found.uncertainty
    assert len(uncertainty) == len(found.front)
    assert uncertainty.level == 0.8
    assert uncertainty.samples is not None
    assert uncertainty.samples.shape == (400, *found.front.values.shape)
    inside = (uncertainty.lower <= found.front.values) & (found.front.values <= uncertainty.upper)
    assert inside.all()
    assert ((uncertainty.nondominated >= 0) & (uncertainty.nondominated <= 1)).all()
    again = type(uncertainty).from_dict(uncertainty.as_dict())
    np.testing.assert_array_equal(again.samples, uncertainty.samples)
    same = recalibrated_front(front(0.05), discrepancy(WEIGHTS[[4]]), level=0.8, draws=400, seed=1)
    np.testing.assert_array_equal(same.uncertainty.samples, uncertainty.samples)


def test_draws_of_the_front_are_passed_on_point_by_point() -> None:
    """Errors that all points share stay shared: the front moves as a whole."""
    given, size = front(0.1), len(WEIGHTS)
    shared = np.full((2, size, size), 0.1**2)
    measured = Scores(TASKS, WEIGHTS, given.values, given.stdev, OBJECTIVES, given.origin, shared)
    uncertainty = front_uncertainty(measured, given)
    found = recalibrated_front(given, discrepancy(WEIGHTS[[2, 4, 6]]), uncertainty)
    draws = np.log(found.uncertainty.samples[:, [2, 3], 0].astype(float))
    assert np.corrcoef(draws.T)[0, 1] > 0.7
    assert len(found.uncertainty.samples) == uncertainty.draws


def test_objectives_without_a_truth_are_refused() -> None:
    known = np.concatenate([WEIGHTS[[4]], np.eye(2)])
    only = fit_discrepancy(scores(known, np.full((3, 2), 0.8), HITS), scores(known, np.full((3, 2), 0.9), HITS))
    with pytest.raises(DataError, match=r"no truth was measured of 'loss\[a\]'"):
        recalibrated_front(front(), only)


def test_of_several_metrics_only_the_fronts_own_are_moved() -> None:
    known = np.concatenate([WEIGHTS[[4]], np.eye(2)])
    both = (*HITS, *OBJECTIVES)
    before = np.concatenate([np.full((3, 2), 0.8), previews(known)], axis=1)
    after = np.concatenate([np.full((3, 2), 0.9), truths(known)], axis=1)
    found = recalibrated_front(front(), fit_discrepancy(scores(known, before, both), scores(known, after, both)))
    assert [objective.name for objective in found.front.objectives] == ["loss[a]", "loss[b]"]
    assert found.moved[4] == pytest.approx((truths(WEIGHTS[[4]]) - previews(WEIGHTS[[4]]))[0], rel=0.1)
