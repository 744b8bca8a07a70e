from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.fronts.uncertainty.exact import ExactGaussian, World

from paretomerge.errors import DataError
from paretomerge.fronts.uncertainty import score_uncertainty
from paretomerge.fronts.uncertainty.parts import MeasuredPoints, quantiles
from paretomerge.surrogates import Fitted
from paretomerge.types import Objective, Origin, Scores

A, B = Objective("a"), Objective("b", "maximise")
POINTS = np.array([[0.1, 0.2], [0.5, 0.9], [0.8, 0.4]])


@pytest.fixture
def world() -> World:
    return World.draw(np.random.default_rng(0), (A, B))


def _scores(values: Any, stderr: Any, shared: Any = None, objectives: tuple[Objective, ...] = (A,)) -> Scores:
    origin: Origin = "merged"
    points = np.arange(len(values), dtype=float)[:, None] / 10
    return Scores(
        ("x",), points, np.array(values, float), np.array(stderr, float), objectives, (origin,) * len(points), shared
    )


def test_the_fake_is_a_surrogate(world: World) -> None:
    assert isinstance(world.surrogate, Fitted)


def test_parts_are_the_posterior_and_the_response_to_shared_errors(world: World) -> None:
    found = score_uncertainty(world.surrogate, POINTS)
    mean, stdev = world.surrogate.predict(POINTS)
    np.testing.assert_array_equal(found.mean, mean)
    np.testing.assert_array_equal(found.parts["surrogate"], stdev)
    shared = world.surrogate.scores.shared
    assert shared is not None
    response = world.surrogate.response(POINTS)
    variance = np.einsum("mkn,mnl,mkl->km", response, shared, response)
    np.testing.assert_allclose(found.parts["examples"], np.sqrt(variance), rtol=1e-10)
    np.testing.assert_array_equal(found.parts["parameters"], 0.0)
    np.testing.assert_allclose(found.combined**2, stdev**2 + variance, rtol=1e-10)


def test_draws_have_the_moments_of_all_parts_and_their_correlation_over_points(world: World) -> None:
    stdevs = np.full((3, 2), 0.2)
    found = score_uncertainty(world.surrogate, POINTS, draws=40_000, parameters=stdevs)
    np.testing.assert_allclose(found.draws.mean(axis=0), found.mean, atol=5 * found.combined.max() / 200)
    np.testing.assert_allclose(found.draws.std(axis=0), found.combined, rtol=0.02)
    shared, response = world.surrogate.scores.shared, world.surrogate.response(POINTS)
    assert shared is not None
    from tests.fronts.uncertainty.exact import features

    for m in range(2):
        covariance = features(POINTS) @ world.surrogate.posterior(m)[1] @ features(POINTS).T
        covariance += response[m] @ shared[m] @ response[m].T + 0.2**2
        np.testing.assert_allclose(np.cov(found.draws[..., m].T), covariance, atol=0.03 * covariance.max())


def test_surrogate_and_examples_together_are_the_mean_squared_error() -> None:
    """The identity behind the parts, over draws of the whole world: truth, own noise and shared errors."""
    rng = np.random.default_rng(1)
    squares, variances, posterior = [], [], []
    for _ in range(3000):
        world = World.draw(rng, (A,), scores=5)
        mean, stdev = world.surrogate.predict(POINTS)
        response, shared = world.surrogate.response(POINTS)[0], world.surrogate.scores.shared
        assert shared is not None
        squares.append((mean - world.values(POINTS))[:, 0] ** 2)
        posterior.append(stdev[:, 0] ** 2)
        variances.append(stdev[:, 0] ** 2 + np.einsum("kn,nl,kl->k", response, shared[0], response))
    np.testing.assert_allclose(np.mean(squares, axis=0), np.mean(variances, axis=0), rtol=0.1)
    assert (np.mean(posterior, axis=0) < 0.7 * np.mean(squares, axis=0)).all()


def test_intervals_cover_as_often_as_they_say_and_without_the_examples_too_rarely() -> None:
    rng = np.random.default_rng(2)
    hits = {"both": 0, "surrogate": 0}
    for seed in range(1500):
        world = World.draw(rng, (A,), scores=6)
        truth = world.values(POINTS)
        for name, parts in (("both", ("surrogate", "examples")), ("surrogate", ("surrogate",))):
            lower, upper = score_uncertainty(world.surrogate, POINTS, draws=99, seed=seed, parts=parts).interval()
            hits[name] += int(((lower <= truth) & (truth <= upper)).sum())
    assert 0.885 < hits["both"] / 4500 < 0.915
    assert hits["surrogate"] / 4500 < 0.75


@pytest.mark.parametrize("level", [0.5, 0.9])
@pytest.mark.parametrize("draws", [19, 40])
def test_few_draws_make_no_interval_too_short(draws: int, level: float) -> None:
    """Whatever the distribution; plain percentiles of 19 draws would cover 85 % and not 90 %."""
    rng = np.random.default_rng(3)
    table = rng.exponential(size=(draws + 1, 40_000))
    lower, upper = quantiles(table[1:], level)
    covered = float(((lower <= table[0]) & (table[0] <= upper)).mean())
    assert abs(covered - level) < 0.01


def test_too_few_draws_for_a_level_say_how_many_are_needed() -> None:
    quantiles(np.arange(19.0), 0.9)
    with pytest.raises(DataError, match=r"18 draws are too few for intervals of 0\.9: at least 19"):
        quantiles(np.arange(18.0), 0.9)
    with pytest.raises(DataError, match=r"199 draws .* at least 1999"):
        quantiles(np.arange(199.0), 0.999)
    for level in (0.0, 1.0, 90.0):
        with pytest.raises(DataError, match="lies between 0 and 1"):
            quantiles(np.arange(200.0), level)


def test_bootstrap_deviations_pass_through_the_response(world: World) -> None:
    deviations = np.random.default_rng(4).exponential(size=(50, 8, 2))
    found = score_uncertainty(world.surrogate, POINTS, deviations=deviations, parts=("examples",), draws=50)
    moved = np.einsum("mkn,bnm->bkm", world.surrogate.response(POINTS), deviations)
    np.testing.assert_allclose(found.parts["examples"], moved.std(axis=0), rtol=1e-10)
    # Fifty draws of fifty deviations are all of them.
    np.testing.assert_allclose(np.sort(found.draws - found.mean, axis=0), np.sort(moved, axis=0), atol=1e-12)
    assert abs(np.corrcoef(found.draws[:, 0].T)[0, 1] - np.corrcoef(moved[:, 0].T)[0, 1]) < 1e-10


def test_objectives_are_found_by_name(world: World) -> None:
    deviations = np.random.default_rng(4).normal(size=(50, 8, 2))
    whole = score_uncertainty(world.surrogate, POINTS, deviations=deviations)
    one = score_uncertainty(world.surrogate, POINTS, objectives=[B], deviations=deviations)
    assert one.objectives == (B,)
    np.testing.assert_array_equal(one.mean, whole.mean[:, 1:])
    np.testing.assert_allclose(one.draws, whole.draws[..., 1:], rtol=1e-12)
    shared = score_uncertainty(world.surrogate, POINTS, objectives=[B]).parts["examples"]
    np.testing.assert_allclose(shared, score_uncertainty(world.surrogate, POINTS).parts["examples"][:, 1:], rtol=1e-10)


def test_leaving_a_part_out_does_not_change_the_draws_of_the_others(world: World) -> None:
    both = score_uncertainty(world.surrogate, POINTS, parts=("surrogate", "examples"))
    alone = [score_uncertainty(world.surrogate, POINTS, parts=(part,)) for part in ("surrogate", "examples")]
    np.testing.assert_allclose(both.draws - both.mean, sum(one.draws - one.mean for one in alone), atol=1e-12)
    assert set(alone[0].parts) == {"surrogate"}
    nothing = score_uncertainty(world.surrogate, POINTS, parts=())
    np.testing.assert_array_equal(nothing.draws, np.broadcast_to(nothing.mean, nothing.draws.shape))
    np.testing.assert_array_equal(nothing.combined, 0.0)


def test_the_seed_decides_the_draws(world: World) -> None:
    first, again, other = (score_uncertainty(world.surrogate, POINTS, seed=seed).draws for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_parameters_are_standard_deviations_that_move_all_points_together_or_given_draws(world: World) -> None:
    stdevs = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    found = score_uncertainty(world.surrogate, POINTS, parameters=stdevs, parts=("parameters",), draws=20_000)
    np.testing.assert_array_equal(found.parts["parameters"], stdevs)
    np.testing.assert_allclose(found.draws.std(axis=0), stdevs, rtol=0.03)
    np.testing.assert_allclose(np.corrcoef(found.draws[:, 0, 0], found.draws[:, 2, 0])[0, 1], 1.0)
    assert abs(np.corrcoef(found.draws[:, 0, 0], found.draws[:, 0, 1])[0, 1]) < 0.03
    given = np.random.default_rng(5).normal(size=(10, 3, 2))
    drawn = score_uncertainty(world.surrogate, POINTS, parameters=given, parts=("parameters",), draws=10)
    np.testing.assert_allclose(np.sort(drawn.draws - drawn.mean, axis=0), np.sort(given, axis=0), atol=1e-12)
    np.testing.assert_allclose(drawn.parts["parameters"], given.std(axis=0))


def test_intervals_stay_within_bounds() -> None:
    share = Objective("share", "maximise", bounds=(0.0, 1.0))
    loss = Objective("loss", bounds=(0.0, None))
    scores = _scores([[0.98, 0.05]], [[0.1, 0.1]], objectives=(share, loss))
    found = score_uncertainty(scores, scores.weights)
    lower, upper = found.interval()
    assert upper[0].tolist() != [1.0, 0.0]
    assert upper[0, 0] == 1.0
    assert lower[0, 1] == 0.0
    assert upper[0, 1] > 0.15
    assert found.draws[..., 0].max() == 1.0
    assert found.draws[..., 1].min() == 0.0


def test_measured_scores_have_their_own_noise_and_share_the_rest() -> None:
    shared = np.array([[[0.04, 0.03], [0.03, 0.04]]])
    scores = _scores([[1.0], [2.0]], [[0.5], [0.2]], shared)
    found = score_uncertainty(scores, scores.weights[[1, 0, 1]], draws=20_000)
    np.testing.assert_array_equal(found.mean, [[2.0], [1.0], [2.0]])
    np.testing.assert_allclose(found.parts["surrogate"][:, 0], [0.0, np.sqrt(0.25 - 0.04), 0.0], atol=1e-8)
    np.testing.assert_allclose(found.parts["examples"][:, 0], 0.2, rtol=1e-10)
    np.testing.assert_allclose(found.combined[1], [0.5], rtol=1e-10)
    np.testing.assert_allclose(found.draws[:, 0], found.draws[:, 2])
    np.testing.assert_allclose(np.cov(found.draws[:, :2, 0].T), [[0.04, 0.03], [0.03, 0.25]], atol=0.006)


def test_scores_without_shared_errors_have_no_part_of_examples() -> None:
    found = score_uncertainty(_scores([[1.0]], [[0.5]]), [[0.0]])
    np.testing.assert_array_equal(found.parts["examples"], 0.0)
    np.testing.assert_allclose(found.combined, 0.5)


def test_measured_scores_know_no_other_points() -> None:
    with pytest.raises(DataError, match=r"nothing was measured at \[0.05\]"):
        MeasuredPoints(_scores([[1.0], [2.0]], [[0.1], [0.1]])).predict([[0.05]])


def test_no_scores_leave_only_the_prior() -> None:
    world = World.draw(np.random.default_rng(0), (A,), scores=1)
    empty = ExactGaussian(world.surrogate.scores.take([]), world.surrogate.domain)
    found = score_uncertainty(empty, POINTS)
    np.testing.assert_array_equal(found.parts["examples"], 0.0)
    assert (found.parts["surrogate"] >= 1.0).all()


def test_what_does_not_fit_says_so(world: World) -> None:
    surrogate = world.surrogate
    with pytest.raises(DataError, match="does not predict 'c', only a, b"):
        score_uncertainty(surrogate, POINTS, objectives=[Objective("c")])
    with pytest.raises(DataError, match="200 draws of luck: at least 2, of surrogate, examples, parameters"):
        score_uncertainty(surrogate, POINTS, parts=("luck",))
    with pytest.raises(DataError, match="1 draws of parts"):
        score_uncertainty(surrogate, POINTS, draws=1)
    for bad in (np.zeros((5, 8, 1)), np.zeros((1, 8, 2)), np.full((5, 8, 2), np.nan)):
        with pytest.raises(DataError, match=r"expected \[at least 2, 8 scores, 2 objectives\] finite"):
            score_uncertainty(surrogate, POINTS, deviations=bad)
    for bad in (np.zeros((3, 1)), np.zeros(2), np.full((3, 2), np.inf), np.zeros((1, 1, 3, 2))):
        with pytest.raises(DataError, match=r"expected \[3, 2\] standard deviations or \[draws, 3, 2\]"):
            score_uncertainty(surrogate, POINTS, parameters=bad)
