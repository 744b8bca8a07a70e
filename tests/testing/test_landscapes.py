from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from paretomerge.errors import DataError, WeightsError
from paretomerge.fronts import hypervolume
from paretomerge.testing import Quadratics, SigmoidQuadratic


def landscape(tasks=3, curvature="mild", seed=0, dimension=None):
    return SigmoidQuadratic.random(tasks, curvature, np.random.default_rng(seed), dimension)


def test_quadratics_are_what_the_formula_says():
    quadratics = Quadratics(np.array([[[2.0, 1.0], [1.0, 4.0]]]), np.array([[1.0, -1.0]]), np.array([3.0]))
    assert quadratics(np.array([[1.0, 2.0]])).tolist() == [[0.5 * (2 + 4 + 16) + 1 - 2 + 3]]


@settings(max_examples=20)
@given(
    tasks=st.integers(1, 8),
    groups=st.integers(1, 3),
    strong=st.booleans(),
    seed=st.integers(0, 10**6),
    extra=st.booleans(),
)
def test_scores_are_sigmoids_of_strictly_concave_quadratics_best_near_their_own_coefficients(
    tasks, groups, strong, seed, extra
):
    size = tasks * groups + (extra and tasks > 1)
    made = landscape(tasks, "strong" if strong else "mild", seed, size)
    q = made.quadratics
    points = made.domain.spread(20, 0)
    assert made.scores(points) == pytest.approx(expit(-q(points)), abs=1e-14)
    assert np.linalg.eigvalsh(q.curvatures).min() > 1e-3
    optima = -np.linalg.solve(q.curvatures, q.gradients[..., None])[..., 0]
    own = np.arange(size) % tasks == np.arange(tasks)[:, None]
    assert (optima[own] >= 0.8 - 1e-9).all()
    assert (optima[~own] <= 0.15 + 1e-9).all()
    best = np.diagonal(made.scores(optima))
    assert ((best > expit(1.49)) & (best < expit(3.01))).all()


def test_strong_curvature_is_steeper_and_both_kinds_have_something_to_trade():
    for tasks in (2, 4, 8):
        mild, strong = landscape(tasks, "mild"), landscape(tasks, "strong")
        assert np.ptp(strong.front(50)) > np.ptp(mild.front(50)) > 0.2
        trace = [np.trace(made.quadratics.curvatures, axis1=1, axis2=2) for made in (mild, strong)]
        assert (trace[1] > 1.5 * trace[0]).all()


def test_coordinates_are_tasks_or_groups_of_tasks():
    assert landscape(2).domain.names == ("task0", "task1")
    assert landscape(2, dimension=3).domain.names == ("group0:task0", "group0:task1", "group1:task0")


def test_objectives_are_bounded_maximised_and_named_after_their_tasks():
    objectives = landscape(2).objectives
    assert [o.name for o in objectives] == ["score[task0]", "score[task1]"]
    assert {(o.direction, o.bounds, o.metric) for o in objectives} == {("maximise", (0.0, 1.0), "score")}
    assert [o.task for o in objectives] == ["task0", "task1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": 0}, "a landscape of 0 tasks, 0 coefficients"),
        ({"dimension": 2}, "a landscape of 3 tasks, 2 coefficients"),
        (
            {"curvature": "wild"},
            "'wild' curvature: it needs a task, a coefficient for each, and a curvature of mild or",
        ),
    ],
)
def test_impossible_landscapes_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        landscape(**change)


def test_measured_scores_scatter_as_their_standard_errors_say():
    made = landscape()
    points = made.domain.spread(500, 3)
    scores = made.measure(points, np.random.default_rng(1), examples=200)
    z = (scores.values - made.scores(points)) / scores.stderr
    # The mean of 1500 squares of standard normals is within 0.15 of 1 (four standard errors) for a right scale.
    assert np.mean(z**2) == pytest.approx(1.0, abs=0.15)
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert np.allclose(scores.values * 200, np.round(scores.values * 200))
    assert scores.tasks == made.domain.names
    assert scores.objectives == made.objectives
    assert scores.origin[0] == "merged"
    assert scores.shared is None


def test_a_perfect_score_on_few_examples_is_not_taken_for_certain():
    made = landscape()
    scores = made.measure(np.repeat([[1.0, 0.0, 0.0]], 50, axis=0), np.random.default_rng(0), examples=3)
    assert (scores.values[:, 0] == 1.0).any()
    assert (scores.stderr > 0.1).all()


def test_outcomes_are_zeros_and_ones_whose_mean_is_the_score():
    made = landscape(2)
    points = made.domain.spread(4, 0)
    outcomes = made.outcomes(points, np.random.default_rng(0), 40_000, likeness=0.5)
    assert set(np.unique(outcomes)) == {0.0, 1.0}
    assert outcomes.mean(axis=2) == pytest.approx(made.scores(points), abs=4 * 0.5 / 200)


def test_the_same_seed_gives_the_same_examples_to_all_points():
    made = landscape(2)
    point = np.array([[0.5, 0.5]])
    outcomes = made.outcomes(np.repeat(point, 2, axis=0), np.random.default_rng(0), 500, likeness=1.0)
    assert np.array_equal(outcomes[0], outcomes[1])
    alike = made.outcomes(np.repeat(point, 2, axis=0), np.random.default_rng(0), 20_000, likeness=0.8)
    unlike = made.outcomes(np.repeat(point, 2, axis=0), np.random.default_rng(0), 20_000, likeness=0.0)
    assert np.corrcoef(alike[0, 0], alike[1, 0])[0, 1] > 0.3
    assert abs(np.corrcoef(unlike[0, 0], unlike[1, 0])[0, 1]) < 0.05


def test_paired_measurements_say_how_their_errors_move_together():
    """The covariance of the errors over 200 repetitions is the one that is reported, within sampling error."""
    made = landscape(2)
    points = np.array([[1.0, 0.0], [0.5, 0.5], [0.2, 0.9]])
    rng = np.random.default_rng(0)
    parts = [made.measure_paired(points, rng, examples=100) for _ in range(200)]
    errors = np.array([part.values for part in parts]) - made.scores(points)
    for task in range(2):
        found = np.cov(errors[:, :, task].T)
        expected = parts[0].shared[task] + np.diag(parts[0].own_variance[:, task])
        scale = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
        assert np.abs((found - expected) / scale).max() < 4 * np.sqrt(2 / 200)
        assert (parts[0].shared[task] / scale)[0, 1] > 0.25
    assert (parts[0].own_variance > 0).all()


def test_no_examples_measure_nothing():
    for measure in (landscape().measure, landscape().measure_paired):
        with pytest.raises(DataError, match="scores need at least one example, got 0"):
            measure(np.zeros((1, 3)), np.random.default_rng(0), examples=0)


def test_a_posterior_that_is_not_wrong_predicts_the_truth_up_to_a_constant():
    made = landscape()
    predicted = made.wrong_posterior(np.random.default_rng(0), scale=(1.0, 1.0), gradient_bias=0.0, noise=0.0)
    points = made.domain.spread(50, 0)
    offset = predicted(points) - made.quadratics(points)
    assert np.ptp(offset, axis=0).max() < 1e-12
    optima = -np.linalg.solve(made.quadratics.curvatures, made.quadratics.gradients[..., None])[..., 0]
    assert np.diagonal(predicted(optima)) == pytest.approx(-np.log(np.diagonal(made.scores(optima))))


def test_each_wrong_is_as_large_as_asked():
    made = landscape(4)
    truth = made.quadratics
    scaled = made.wrong_posterior(np.random.default_rng(3), scale=(2.0, 3.0), gradient_bias=0.0, noise=0.0)
    ratios = scaled.curvatures / truth.curvatures
    assert np.ptp(ratios, axis=(1, 2)).max() < 1e-9
    ratio = ratios[:, 0, 0]
    assert (((ratio >= 2) & (ratio <= 3)) | ((ratio >= 1 / 3) & (ratio <= 1 / 2))).all()
    assert ratio.min() < 1 < ratio.max()
    assert scaled.gradients == pytest.approx(ratio[:, None] * truth.gradients)
    biased = made.wrong_posterior(np.random.default_rng(3), scale=(1.0, 1.0), gradient_bias=0.3, noise=0.0)
    errors = np.linalg.norm(biased.gradients - truth.gradients, axis=1)
    assert errors == pytest.approx(0.3 * np.linalg.norm(truth.gradients, axis=1))
    noisy = made.wrong_posterior(np.random.default_rng(3), scale=(1.0, 1.0), gradient_bias=0.0, noise=0.2)
    relative = np.linalg.norm(noisy.curvatures - truth.curvatures, axis=(1, 2)) / np.linalg.norm(
        truth.curvatures, axis=(1, 2)
    )
    assert ((relative > 0.05) & (relative < 0.6)).all()


@pytest.mark.parametrize("curvature", ["mild", "strong"])
def test_wrong_posteriors_are_positive_convex_and_still_say_something(curvature):
    correlations = []
    for seed in range(10):
        made = landscape(3, curvature, seed)
        predicted = made.wrong_posterior(np.random.default_rng(seed))
        assert np.linalg.eigvalsh(predicted.curvatures).min() > 0
        points = made.domain.spread(200, 0)
        losses, truth = predicted(points), made.quadratics(points)
        assert losses.min() > 0
        correlations += [np.corrcoef(losses[:, t], truth[:, t])[0, 1] for t in range(3)]
    assert 0.8 < np.median(correlations) < 0.99


@pytest.mark.parametrize("tasks", [2, 3])
def test_no_point_of_a_dense_search_dominates_the_true_front(tasks):
    made = landscape(tasks, "strong")
    front = made.front(500)
    assert front.shape == (500, tasks)
    dense = made.scores(made.domain.spread(20_000, 1))
    beaten = (dense[None] >= front[:, None] + 1e-12).all(axis=2).any()
    assert not beaten
    reference = np.zeros(tasks)
    found, best = hypervolume(-front, reference), hypervolume(-dense, reference)
    assert 0.95 * best < found < 1.01 * best


def test_the_front_starts_with_each_task_alone_and_stays_in_the_box():
    made = landscape(4, "strong")
    points = made.front_points(30)
    best = made.scores(made.domain.spread(5000, 0)).max(axis=0)
    assert (np.diagonal(made.scores(points[:4])) >= best).all()
    assert made.domain.checked(points) is not None
    assert len(made.front_points(2)) == 2
    assert made.front(30) == pytest.approx(made.scores(points))
    assert len(np.unique(points.round(9), axis=0)) == 30
    with pytest.raises(WeightsError):
        made.domain.checked(points + 1)


def test_scores_on_the_simplex_are_those_of_its_points():
    made = landscape(2)
    assert logit(made.scores(np.array([[0.3, 0.7]]))) == pytest.approx(-made.quadratics(np.array([[0.3, 0.7]])))
