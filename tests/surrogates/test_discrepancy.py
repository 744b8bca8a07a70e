from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretomerge.errors import DataError, WeightsError
from paretomerge.surrogates import DiscrepancyPrior, fit_discrepancy
from paretomerge.types import Objective, Scores, simplex_grid

TASKS = ("a", "b", "c")
LOSSES = tuple(Objective(f"loss[{t}]", "minimise", "nats", (0.0, None), t, "loss") for t in TASKS)
HITS = tuple(Objective(f"hits[{t}]", "maximise", "", (0.0, 1.0), t, "hits") for t in TASKS)
GRID = simplex_grid(3, 6)
INNER = GRID[(GRID > 0).all(axis=1)]
CORNERS = np.eye(3)
ONE = replace(
    DiscrepancyPrior(draws=1),
    **{
        name: (getattr(DiscrepancyPrior(), name)[0], 0.0)
        for name in ("trend", "own", "rest", "absent", "own_length", "rest_length", "noise", "absent_noise")
    },
)
"""A prior whose settings are known."""


def scores(weights: np.ndarray, values: np.ndarray, objectives: tuple[Objective, ...] = LOSSES) -> Scores:
    values = np.asarray(values, dtype=np.float64)
    return Scores(TASKS, weights, values, np.zeros_like(values), objectives, ("merged",) * len(weights))


def loss_previews(weights: np.ndarray) -> np.ndarray:
    return 0.3 + 1.2 * (1 - weights) ** 2


def loss_truths(weights: np.ndarray) -> np.ndarray:
    """What averaging gets wrong on digits, roughly: a factor that grows as the task's weight falls."""
    return loss_previews(weights) * np.exp(-0.7 * (1 - weights) - 0.1 * (1 - weights) ** 2)


def fitted(known: np.ndarray, **more):
    weights = np.concatenate([known, CORNERS])
    truths = np.where(weights == 0, loss_previews(weights), loss_truths(weights))
    return fit_discrepancy(scores(weights, loss_previews(weights)), scores(weights, truths), **more)


def test_one_trained_weighting_and_the_finetunes_recalibrate_all_others() -> None:
    found = fitted(np.array([[1, 1, 1]]) / 3)
    mean, stdev = found.predict(INNER, loss_previews(INNER))
    before = np.abs(loss_previews(INNER) - loss_truths(INNER)).mean()
    assert np.abs(mean - loss_truths(INNER)).mean() < 0.15 * before
    assert (np.abs(mean - loss_truths(INNER)) < 2 * stdev).mean() > 0.95


def test_more_trained_weightings_predict_better_and_more_surely() -> None:
    known = INNER[[0, 3, 9, 5]]
    errors, widths = [], []
    for count in (0, 1, 2, 4):
        mean, stdev = fitted(known[:count]).predict(INNER, loss_previews(INNER))
        errors.append(np.abs(mean - loss_truths(INNER)).mean())
        widths.append(stdev.mean())
    assert errors[0] > errors[1] > errors[2] > errors[3]
    assert widths[0] > widths[1] > widths[2] > widths[3]


def _naive(weights, residual, noise, column, query):
    """Dense Gaussian process for the median settings."""
    prior = {name: getattr(DiscrepancyPrior(), name)[0] for name in vars(DiscrepancyPrior()) if name != "draws"}

    def kernel(a, b):
        def matern(distance):
            scaled = 5**0.5 * distance
            return (1 + scaled + scaled**2 / 3) * np.exp(-scaled)

        apart = np.linalg.norm(np.sqrt(a)[:, None] - np.sqrt(b)[None], axis=2)
        s, t = a[:, column], b[:, column]
        own = np.abs(np.sqrt(s)[:, None] - np.sqrt(t))
        both, none = np.outer(s > 0, t > 0), np.outer(s == 0, t == 0)
        trend = prior["trend"] ** 2 * np.outer(1 - s, 1 - t) + prior["own"] ** 2 * matern(own / prior["own_length"])
        return both * trend + (prior["rest"] ** 2 + none * prior["absent"] ** 2) * matern(apart / prior["rest_length"])

    def own_noise(a):
        return prior["noise"] ** 2 + (a[:, column] == 0) * prior["absent_noise"] ** 2

    covariance = kernel(weights, weights) + noise + np.diag(own_noise(weights) + 1e-8)
    across = kernel(query, weights)
    mean = across @ np.linalg.solve(covariance, residual)
    variance = np.diag(kernel(query, query)) - np.einsum("kn,nk->k", across, np.linalg.solve(covariance, across.T))
    return mean, variance + own_noise(query), covariance


def test_with_known_settings_it_is_a_gaussian_process_on_the_scale_of_ratios() -> None:
    weights = np.concatenate([INNER[[2, 5]], CORNERS])
    rng = np.random.default_rng(0)
    before, after = 0.3 + rng.random((5, 3)), 0.3 + rng.random((5, 3))
    root = 0.03 * rng.standard_normal((3, 5, 5))
    noise = root @ root.transpose(0, 2, 1)
    found = fit_discrepancy(scores(weights, before), scores(weights, after), noise=noise, prior=ONE)
    given_previews, spread = 0.3 + rng.random((len(GRID), 3)), 0.1 * rng.random((len(GRID), 3))
    mean, stdev = found.predict(GRID, given_previews, spread)
    for column in range(3):
        residual = np.log(after[:, column] / before[:, column])
        slope = np.sqrt(before[:, column] * after[:, column])
        delta, variance, _ = _naive(weights, residual, noise[column] / np.outer(slope, slope), column, GRID)
        expected = given_previews[:, column] * np.exp(delta)
        np.testing.assert_allclose(mean[:, column], expected, rtol=1e-9)
        error = np.sqrt(expected**2 * variance + (spread[:, column] * np.exp(delta)) ** 2)
        np.testing.assert_allclose(stdev[:, column], error, rtol=1e-7)


def test_leaving_one_out_is_fitting_to_the_others() -> None:
    """For known settings and for averaged ones: their evidence loses what it said of the weighting."""
    for prior in (ONE, DiscrepancyPrior(draws=64)):
        weights = np.concatenate([INNER[[0, 4, 7]], CORNERS])
        truths = loss_truths(weights) * np.array([1.05, 0.97, 1.0, 1.1, 0.9, 1.02])[:, None]
        whole = fit_discrepancy(scores(weights, loss_previews(weights)), scores(weights, truths), prior=prior)
        left_out = whole.leave_one_out(0.9)
        for row in (0, 2, 4):
            others = [k for k in range(6) if k != row]
            part = fit_discrepancy(
                scores(weights[others], loss_previews(weights[others])),
                scores(weights[others], truths[others]),
                prior=prior,
            )
            # Posteriors leave out the draws with a thousandth of the evidence.
            mean, _ = part.predict(weights[[row]], loss_previews(weights[[row]]))
            np.testing.assert_allclose(left_out.mean[row], mean[0], rtol=1e-7 if prior is ONE else 2e-3)
            for column in range(3):
                delta, variance = part.members[column].posterior(weights[[row]])
                ends = [
                    loss_previews(weights[[row]])[0, column] * np.exp(delta + z * np.sqrt(variance)) for z in (-1, 1)
                ]
                widths = np.log(ends[1] / ends[0])
                found = np.log(left_out.upper[row, column] / left_out.lower[row, column]) / 1.6448536
                assert found == pytest.approx(widths[0], rel=1e-4 if prior is ONE else 2e-2)


def test_intervals_cover_truths_of_the_prior_as_often_as_they_say() -> None:
    """Discrepancies drawn from the prior, trained at three weightings: 90 % intervals hold 90 % of the others."""
    rng, inside = np.random.default_rng(1), []
    previews = loss_previews(INNER)
    prior_draws = fit_discrepancy(
        scores(INNER[:1], previews[:1]), scores(INNER[:1], previews[:1]), noise=np.full((3, 1, 1), 1e8)
    )
    truths = prior_draws.sample(INNER, np.broadcast_to(previews, (150, *previews.shape)), rng)
    for drawn in truths:
        known = [0, 5, 9]
        found = fit_discrepancy(scores(INNER[known], previews[known]), scores(INNER[known], drawn[known]))
        held = [k for k in range(len(INNER)) if k not in known]
        for column, member in enumerate(found.members):
            delta, variance = member.posterior(INNER[held])
            error = np.log(drawn[held, column] / previews[held, column]) - delta
            inside.append((np.abs(error) <= 1.645 * np.sqrt(variance)).mean())
    assert np.mean(inside) == pytest.approx(0.9, abs=0.03)


def test_draws_have_the_predictions_mean_and_error_and_are_joint_over_points() -> None:
    found = fitted(INNER[[5]])
    previews = loss_previews(INNER)
    draws = found.sample(INNER, np.broadcast_to(previews, (3000, *previews.shape)), np.random.default_rng(0))
    mean, stdev = found.predict(INNER, previews)
    np.testing.assert_allclose(np.median(draws, axis=0), mean, rtol=0.02)
    np.testing.assert_allclose(np.log(draws).std(axis=0) * mean, stdev, rtol=0.12)
    near, far = (np.corrcoef(np.log(draws[:, 0, 0]), np.log(draws[:, row, 0]))[0, 1] for row in (1, 9))
    assert near > 0.5 > far


@settings(max_examples=15, deadline=None)
@given(scale=st.floats(0.01, 1000.0), shift=st.floats(-50.0, 50.0))
def test_units_do_not_matter(scale: float, shift: float) -> None:
    """Neither of losses, whose ratios are compared, nor of what has no bounds at all."""
    known = np.concatenate([INNER[[1, 5]], CORNERS])
    before, after = loss_previews(known), loss_truths(known)
    plain = tuple(replace(one, bounds=(None, None)) for one in LOSSES)
    for objectives, moved in ((LOSSES, 0.0), (plain, shift)):
        first = fit_discrepancy(scores(known, before, objectives), scores(known, after, objectives))
        other = fit_discrepancy(
            scores(known, scale * before + moved, objectives), scores(known, scale * after + moved, objectives)
        )
        mean, stdev = first.predict(INNER, loss_previews(INNER))
        again, wider = other.predict(INNER, scale * loss_previews(INNER) + moved)
        np.testing.assert_allclose(again, scale * mean + moved, rtol=1e-6, atol=1e-6 * scale)
        np.testing.assert_allclose(wider, scale * stdev, rtol=1e-5)


def test_accuracies_stay_within_their_bounds_even_where_everything_is_right() -> None:
    known = np.concatenate([INNER[[5]], CORNERS])
    before = np.concatenate([[[0.9, 0.97, 0.8]], np.full((3, 3), 1.0)])
    after = np.concatenate([[[1.0, 1.0, 0.9]], np.full((3, 3), 1.0)])
    noise = np.full((3, 4, 4), 1e-4) * np.eye(4)
    found = fit_discrepancy(scores(known, before, HITS), scores(known, after, HITS), noise=noise)
    mean, stdev = found.predict(INNER, np.full((len(INNER), 3), 0.99))
    left_out = found.leave_one_out()
    assert ((mean <= 1) & (mean >= 0) & np.isfinite(stdev)).all()
    assert ((left_out.lower >= 0) & (left_out.upper <= 1) & (left_out.lower <= left_out.upper)).all()
    draws = found.sample(INNER, np.full((50, len(INNER), 3), 0.99), np.random.default_rng(0))
    assert ((draws >= 0) & (draws <= 1)).all()


def test_objectives_of_one_metric_share_their_settings_and_others_do_not() -> None:
    known = np.concatenate([INNER[[0, 5, 9]], CORNERS])
    both, values = (*LOSSES, *HITS), np.concatenate([loss_previews(known), np.full((len(known), 3), 0.8)], axis=1)
    after = np.concatenate([loss_truths(known), np.full((len(known), 3), 0.8)], axis=1)
    found = fit_discrepancy(scores(known, values, both), scores(known, after, both))
    shares = [member.shares.tolist() for member in found.members]
    assert shares[0] == shares[1] == shares[2] != shares[3] == shares[4] == shares[5]
    alone = fit_discrepancy(scores(known, loss_previews(known)), scores(known, loss_truths(known)))
    np.testing.assert_allclose(
        found.leave_one_out().mean[:, :3], alone.leave_one_out().mean, rtol=1e-12, err_msg="the other metric matters"
    )


def test_selected_objectives_predict_as_before_in_their_new_order() -> None:
    found = fitted(INNER[[5]])
    mean, stdev = found.predict(INNER, loss_previews(INNER))
    swapped = found.select((LOSSES[2], LOSSES[0]))
    again, error = swapped.predict(INNER, loss_previews(INNER)[:, [2, 0]])
    np.testing.assert_array_equal(again, mean[:, [2, 0]])
    np.testing.assert_array_equal(error, stdev[:, [2, 0]])
    with pytest.raises(DataError, match=r"no truth was measured of 'hits\[a\]', only of loss\[a\]"):
        found.select(HITS)


def test_noise_of_examples_is_not_taken_for_a_discrepancy() -> None:
    """The same differences say little when they may be the examples' own."""
    known = np.concatenate([INNER[[5]], CORNERS])
    sure = fitted(INNER[[5]])
    unsure = fitted(INNER[[5]], noise=np.tile(0.3**2 * np.eye(len(known)), (3, 1, 1)))
    moved = [
        np.abs(one.predict(INNER, loss_previews(INNER))[0] - loss_previews(INNER)).mean() for one in (sure, unsure)
    ]
    assert moved[1] < 0.7 * moved[0]


def test_an_objective_of_no_task_and_a_single_task_are_fine() -> None:
    cost = (Objective("cost", bounds=(0.0, None)),)
    known = np.concatenate([INNER[[5]], CORNERS])
    found = fit_discrepancy(
        scores(known, np.full((4, 1), 2.0), cost), scores(known, [[1.0], [2.0], [2.0], [2.0]], cost)
    )
    mean, _ = found.predict(INNER, np.full((len(INNER), 1), 2.0))
    assert mean[5] == pytest.approx([1.0], rel=0.05)
    assert ((mean > 0.9) & (mean < 1.6)).all()
    one = Scores(("a",), [[1.0]], [[0.5]], [[0.0]], (LOSSES[0],), ("merged",))
    assert np.isfinite(fit_discrepancy(one, one).predict([[1.0]], [[0.4]])[1]).all()


def test_what_it_refuses() -> None:
    known = scores(CORNERS, loss_previews(CORNERS))
    with pytest.raises(DataError, match="different weightings"):
        fit_discrepancy(known, scores(CORNERS[::-1], loss_previews(CORNERS)))
    with pytest.raises(DataError, match="different weightings"):
        fit_discrepancy(known, known.take([0, 1]))
    with pytest.raises(DataError, match="nothing was trained yet"):
        fit_discrepancy(known.take([]), known.take([]))
    with pytest.raises(DataError, match="different tasks or objectives"):
        fit_discrepancy(known, scores(CORNERS, np.full((3, 3), 0.5), HITS))
    with pytest.raises(WeightsError):
        fit_discrepancy(known, Scores(("a", "b"), np.eye(2), np.ones((2, 3)), np.zeros((2, 3)), LOSSES, "merged"))
    with pytest.raises(DataError, match=r"noise has shape \[2\], expected \[3, 3, 3\]"):
        fit_discrepancy(known, known, noise=np.zeros(2))
    found = fit_discrepancy(known, known)
    with pytest.raises(DataError, match=r"previews have shape \[1, 3\], expected \[3, 3\]"):
        found.predict(CORNERS, np.ones((1, 3)))
    with pytest.raises(DataError, match="finite"):
        found.predict(CORNERS, np.full((3, 3), np.nan))
    with pytest.raises(DataError, match="draws of previews"):
        found.sample(CORNERS, np.ones((3, 3)), np.random.default_rng(0))
    for level in (0.0, 1.0, 90):
        with pytest.raises(DataError, match="between 0 and 1"):
            found.leave_one_out(level)


def test_inputs_are_left_alone() -> None:
    previews, points = loss_previews(INNER), INNER.copy()
    kept = previews.copy()
    fitted(INNER[[5]]).predict(points, previews)
    np.testing.assert_array_equal(previews, kept)
    np.testing.assert_array_equal(points, INNER)
