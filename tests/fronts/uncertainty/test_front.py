from __future__ import annotations

import json

import numpy as np
import pytest
from tests.fronts.uncertainty.exact import World

from paretomerge.errors import DataError
from paretomerge.fronts import front_from_scores
from paretomerge.fronts.uncertainty import (
    FrontUncertainty,
    attainment_surfaces,
    front_uncertainty,
    hypervolume_interval,
    probability_nondominated,
    score_uncertainty,
)
from paretomerge.types import Constraint, Front, Objective, Origin, Scores, are_feasible

A, B, COST = Objective("a"), Objective("b", "maximise"), Objective("cost")


def _front(world: World, objectives: tuple[Objective, ...], count: int = 40) -> Front:
    points = np.random.default_rng(9).random((count, 2))
    origin: Origin = "predicted"
    mean, stdev = world.surrogate.predict(points)
    scores = Scores(world.surrogate.tasks, points, mean, stdev, world.surrogate.objectives, (origin,) * count)
    return front_from_scores(scores.columns([world.surrogate.objectives.index(o) for o in objectives]))


@pytest.fixture
def world() -> World:
    return World.draw(np.random.default_rng(5), (COST, A, B))


def test_everything_comes_from_the_same_joint_draws(world: World) -> None:
    front = _front(world, (A, B))
    found = front_uncertainty(world.surrogate, front, seed=3, draws=60)
    alone = score_uncertainty(world.surrogate, front.weights, objectives=(A, B), seed=3, draws=60)
    assert found.objectives == (A, B)
    assert len(found) == len(front)
    np.testing.assert_array_equal(found.combined, alone.combined)
    for part in ("surrogate", "examples", "parameters"):
        np.testing.assert_array_equal(found.parts[part], alone.parts[part])
    np.testing.assert_array_equal(np.stack([found.lower, found.upper]), np.stack(alone.interval()))
    np.testing.assert_array_equal(found.nondominated, probability_nondominated(alone.draws, (A, B)))
    np.testing.assert_array_equal(found.feasible, 1.0)
    assert found.hypervolume == hypervolume_interval(alone.draws, (A, B), front.reference)
    for mine, other in zip(found.attainment, attainment_surfaces(alone.draws, (A, B), front.reference), strict=True):
        np.testing.assert_array_equal(mine.points, other.points)
    assert [surface.percentage for surface in found.attainment] == [5.0, 50.0, 95.0]


def test_constraints_take_points_out_of_the_draws_that_violate_them(world: World) -> None:
    front = _front(world, (A, B))
    mean, _ = world.surrogate.predict(front.weights)
    limits = (Constraint("cost", float(np.median(mean[:, 0]))), Constraint("a", float(mean[:, 1].max())))
    found = front_uncertainty(world.surrogate, front, constraints=limits, draws=60)
    alone = score_uncertainty(world.surrogate, front.weights, objectives=(A, B, COST), draws=60)
    allowed = are_feasible(alone.draws, (A, B, COST), limits)
    np.testing.assert_array_equal(found.feasible, allowed.mean(axis=0))
    assert 0 < found.feasible.min() < found.feasible.max() <= 1
    np.testing.assert_array_equal(found.nondominated, probability_nondominated(alone.draws[..., :2], (A, B), allowed))
    assert found.hypervolume == hypervolume_interval(alone.draws[..., :2], (A, B), front.reference, 0.9, allowed)
    free = front_uncertainty(world.surrogate, front, draws=60)
    assert found.hypervolume.mean < free.hypervolume.mean
    np.testing.assert_array_equal(found.lower, free.lower)
    assert found.combined.shape == (len(front), 2)
    for surface, other in zip(
        found.attainment,
        attainment_surfaces(alone.draws[..., :2], (A, B), front.reference, feasible=allowed),
        strict=True,
    ):
        np.testing.assert_array_equal(surface.points, other.points)


def test_parameters_and_deviations_reach_the_parts(world: World) -> None:
    front = _front(world, (A, B))
    stdevs = np.full((len(front), 2), 0.3)
    deviations = np.random.default_rng(0).normal(size=(30, 8, 3))
    found = front_uncertainty(
        world.surrogate, front, parameters=stdevs, deviations=deviations, constraints=[Constraint("cost", 100.0)]
    )
    np.testing.assert_array_equal(found.parts["parameters"], stdevs)
    alone = score_uncertainty(world.surrogate, front.weights, objectives=(A, B), deviations=deviations)
    np.testing.assert_allclose(found.parts["examples"], alone.parts["examples"])
    only = front_uncertainty(world.surrogate, front, parts=("surrogate",), level=0.5)
    assert set(only.parts) == {"surrogate"}
    assert only.level == 0.5
    assert (only.upper - only.lower < found.upper - found.lower).all()


def test_a_front_of_measured_points_is_as_sure_as_its_scores() -> None:
    origin: Origin = "merged"
    values = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0], [0.9, 0.9]])
    stderr = np.full((4, 2), 0.1)
    scores = Scores(("x",), np.arange(4.0)[:, None], values, stderr, (A, Objective("c")), (origin,) * 4)
    front = front_from_scores(scores)
    found = front_uncertainty(scores, front)
    assert len(found) == 3
    np.testing.assert_allclose(found.combined, 0.1)
    assert found.hypervolume.lower < found.hypervolume.mean < found.hypervolume.upper
    shared = np.repeat(np.full((1, 4, 4), 0.01), 2, axis=0)
    together = front_uncertainty(
        Scores(("x",), scores.weights, values, stderr, scores.objectives, scores.origin, shared), front
    )
    np.testing.assert_allclose(together.combined, 0.1, rtol=1e-6)
    np.testing.assert_allclose(together.parts["surrogate"], 0.0, atol=1e-8)
    np.testing.assert_array_equal(together.nondominated, 1.0)
    assert found.nondominated.min() < 1.0 or found.hypervolume != together.hypervolume


def test_hypervolume_intervals_cover_the_volume_of_the_points_true_scores() -> None:
    rng = np.random.default_rng(6)
    hits, trials = 0, 400
    from paretomerge.fronts import hypervolume

    for seed in range(trials):
        world = World.draw(rng, (A, B), scores=6)
        front = _front(world, (A, B), 15)
        found = front_uncertainty(world.surrogate, front, seed=seed, draws=59)
        truth = hypervolume(world.values(front.weights), front.reference, (A, B))
        hits += found.hypervolume.lower <= truth <= found.hypervolume.upper
    assert 0.85 < hits / trials < 0.95


def test_probabilities_of_being_nondominated_are_calibrated() -> None:
    """Among points said to be non-dominated with probability p, a share p is."""
    from paretomerge.fronts import is_nondominated

    rng = np.random.default_rng(7)
    said, found = [], []
    for seed in range(300):
        world = World.draw(rng, (A, B), scores=5)
        points = rng.random((10, 2))
        draws = score_uncertainty(world.surrogate, points, seed=seed, draws=60).draws
        said.append(probability_nondominated(draws, (A, B)))
        found.append(is_nondominated(world.values(points), (A, B)))
    said_, found_ = np.concatenate(said), np.concatenate(found)
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.01)):
        inside = (said_ >= low) & (said_ < high)
        assert inside.sum() > 100
        assert abs(found_[inside].mean() - said_[inside].mean()) < 0.07


def test_it_survives_json(world: World) -> None:
    front = _front(world, (A, B))
    found = front_uncertainty(world.surrogate, front, draws=40)
    again = FrontUncertainty.from_dict(json.loads(json.dumps(found.as_dict())))
    assert again.as_dict() == found.as_dict()
    assert again.objectives == found.objectives
    assert again.hypervolume == found.hypervolume
    np.testing.assert_array_equal(again.parts["surrogate"], found.parts["surrogate"])
    np.testing.assert_array_equal(again.attainment[1].points, found.attainment[1].points)
    assert again.samples is not None
    np.testing.assert_array_equal(again.samples, found.samples)
    assert again.samples.dtype == np.float32


def test_the_joint_draws_are_kept_and_their_differences_are_sharper_than_the_points(world: World) -> None:
    front = _front(world, (A, B))
    found = front_uncertainty(world.surrogate, front, seed=3, draws=60)
    alone = score_uncertainty(world.surrogate, front.weights, objectives=(A, B), seed=3, draws=60)
    np.testing.assert_array_equal(found.samples, alone.draws.astype(np.float32))
    assert found.samples is not None
    differences = found.samples[:, 1:] - found.samples[:, :-1]
    apart = np.sqrt(found.samples.var(axis=0)[1:] + found.samples.var(axis=0)[:-1])
    assert np.median(differences.std(axis=0) / apart) < 1


def test_draws_cover_the_constrained_objectives_only_where_they_are_traded_off(world: World) -> None:
    front = _front(world, (A, B))
    found = front_uncertainty(world.surrogate, front, constraints=[Constraint("cost", 100.0)], draws=60)
    assert found.samples is not None
    assert found.samples.shape == (60, len(front), 2)


def test_what_older_versions_stored_has_no_draws(world: World) -> None:
    stored = front_uncertainty(world.surrogate, _front(world, (A, B)), draws=40).as_dict()
    del stored["samples"]
    again = FrontUncertainty.from_dict(stored)
    assert again.samples is None
    assert again.as_dict()["samples"] is None


def test_objectives_the_surrogate_does_not_know_are_refused(world: World) -> None:
    front = _front(world, (A, B))
    other = Front(
        front.tasks,
        front.weights,
        front.values,
        front.stdev,
        (A, Objective("z", "maximise")),
        front.reference,
        front.origin,
    )
    with pytest.raises(DataError, match="does not predict 'z', only cost, a, b"):
        front_uncertainty(world.surrogate, other)
    with pytest.raises(DataError, match="unknown objective 'z'"):
        front_uncertainty(world.surrogate, front, constraints=[Constraint("z", 1.0)])
