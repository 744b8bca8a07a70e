"""Subspace posteriors on quadratic losses, where the merge must be the minimiser restricted to the span."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from paretomerge.curvature import FitSubspace, fit_curvatures
from paretomerge.curvature.subspaces import shares
from paretomerge.fronts import closed_form_front
from paretomerge.merging import merge, merge_coordinates
from paretomerge.posteriors import Basis, DirectionLabel
from paretomerge.testing import LinearRegressionTasks
from paretomerge.types import simplex_grid

METHODS = [
    FitSubspace(groups="model", location="finetune", damping=0.0),
    FitSubspace(groups="model", location="centred", damping=0.0, enrich="none", centres=1),
    FitSubspace(groups="model", location="centred", damping=0.0, enrich="gradient", centres=1),
    FitSubspace(groups="model", location="centred", damping=0.0, enrich="scaled_gradient", centres=1),
]


def plain(centres, damping):
    """That many centres, whatever validation data say."""
    return FitSubspace("model", "centred", "none", centres, validated=False, damping=damping)


def problem(tasks, parameters, seed=0):
    regression = LinearRegressionTasks.random(
        tasks, parameters, 2 * parameters, torch.Generator().manual_seed(100 * tasks + seed)
    )
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(parameters, generator=generator, dtype=torch.float64)
    tunes = {task: regression.as_params(regression.finetune(t)) for t, task in enumerate(regression.tasks)}
    return regression, base, tunes


def fitted(regression, base, tunes, method):
    return fit_curvatures(regression.problem(batch_size=7), regression.as_params(base), tunes, method)


def restricted_minimiser(regression, base, V, weights):
    """`argmin_c Σ α_t l_t(θ_0 + V c)` by least squares on the stacked examples, in θ."""
    stacked = torch.cat([(w / len(x)) ** 0.5 * x @ V for w, x in zip(weights, regression.inputs, strict=True)])
    left = [
        (w / len(x)) ** 0.5 * (y - x @ base)
        for w, x, y in zip(weights, regression.inputs, regression.targets, strict=True)
    ]
    return base + V @ torch.linalg.lstsq(stacked, torch.cat(left)[:, None], driver="gelsd").solution[:, 0]


def relative(one, other):
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.location}-{method.enrich}")
@pytest.mark.parametrize(("tasks", "parameters"), [(2, 5), (3, 40), (4, 12), (6, 60)])
def test_the_merge_is_the_minimiser_in_the_span(tasks, parameters, method):
    regression, base, tunes = problem(tasks, parameters)
    posteriors = fitted(regression, base, tunes, method).posteriors()
    directions = next(iter(posteriors.values())).basis.directions
    V = torch.stack([direction["linear.weight"][0] for direction in directions], 1)
    assert V.shape[1] == (tasks if method.enrich == "none" else 2 * tasks)
    grid = simplex_grid(tasks, 3)
    for weights, merged in zip(grid, merge(posteriors, grid), strict=True):
        truth = restricted_minimiser(regression, base, V, torch.from_numpy(weights))
        # Enriched directions are nearly collinear with the task vectors: their coordinates lose digits.
        assert relative(merged["linear.weight"][0], truth) < (1e-9 if method.enrich == "none" else 1e-7)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.location}-{method.enrich}")
def test_predicted_losses_are_the_true_losses_everywhere_in_the_span(method):
    regression, base, tunes = problem(3, 20)
    curvatures = fitted(regression, base, tunes, method)
    posterior = next(iter(curvatures.bare.values()))
    generator = torch.Generator().manual_seed(3)
    for coordinates in torch.randn(5, len(posterior.basis), generator=generator, dtype=torch.float64):
        params = posterior.at(coordinates)
        for t, task in enumerate(regression.tasks):
            truth = float(regression.loss(t, params["linear.weight"][0]))
            assert curvatures.losses[task].at(params) == pytest.approx(truth, rel=1e-7)
            assert float(curvatures.losses[task].at_coordinates(coordinates)) == pytest.approx(truth, rel=1e-8)


def test_the_closed_form_front_is_the_true_front():
    """The whole Pareto set of the fitted quadratics is the curve of restricted multitask minimisers."""
    regression, base, tunes = problem(3, 25)
    curvatures = fitted(regression, base, tunes, METHODS[1])
    bare = list(curvatures.bare.values())
    weights = simplex_grid(3, 6)
    points, values = closed_form_front(
        torch.stack([posterior.precision for posterior in bare]).numpy(),
        torch.stack([-posterior.precision_mean for posterior in bare]).numpy(),
        np.array([loss.offset for loss in curvatures.losses.values()]),
        weights,
    )
    V = torch.stack([direction["linear.weight"][0] for direction in bare[0].basis.directions], 1)
    for w, point, found in zip(weights, points, values, strict=True):
        truth = restricted_minimiser(regression, base, V, torch.from_numpy(w))
        assert relative(base + V @ torch.from_numpy(point), truth) < 1e-8
        assert found == pytest.approx([float(regression.loss(t, truth)) for t in range(3)], rel=1e-8)


def test_a_ridge_pulls_to_the_weighted_average():
    regression, base, tunes = problem(3, 20)
    curvatures = fitted(regression, base, tunes, METHODS[1])
    weights = np.array([0.2, 0.5, 0.3])
    coordinates = merge_coordinates(curvatures.posteriors(1e9), weights)[0]
    assert coordinates.numpy() == pytest.approx(weights, abs=1e-6)


def test_further_centres_change_nothing_on_quadratic_losses_without_ridge():
    regression, base, tunes = problem(3, 20)
    weights = np.array([0.2, 0.5, 0.3])
    methods = [plain(centres, damping=0.0) for centres in (1, 2)]
    once, twice = (merge(fitted(regression, base, tunes, method).posteriors(), weights) for method in methods)
    assert relative(once["linear.weight"], twice["linear.weight"]) < 1e-8


def test_the_second_centre_is_where_the_first_merge_with_equal_weights_landed():
    regression, base, tunes = problem(3, 20)
    first, second = (fitted(regression, base, tunes, plain(centres, damping=0.3)) for centres in (1, 2))
    landed = merge_coordinates(first.posteriors(), [1 / 3] * 3)[0]
    basis = next(iter(second.bare.values())).basis
    assert torch.allclose(sum(basis.anchor(task) for task in regression.tasks) / 3, landed, rtol=1e-9)
    # A centre serves equal weights: with an infinite ridge the merge stays there.
    stays = merge_coordinates(second.posteriors(1e9), [1 / 3] * 3)[0]
    assert torch.allclose(stays, landed, atol=1e-6)


def test_shares_add_up_to_the_centre_and_move_only_the_tasks_own_directions():
    labels = tuple(DirectionLabel("task_vector", task) for task in "abab")
    basis = Basis(tuple({"w": torch.ones(1)} for _ in labels), labels)
    place = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    found = shares(basis, place, ("a", "b"))
    assert torch.allclose(found["a"], torch.tensor([0.2, 0.0, 0.6, 0.0], dtype=torch.float64))
    assert torch.allclose((found["a"] + found["b"]) / 2, place)


def test_the_ledger_counts_examples_times_directions_and_gradients():
    regression, base, tunes = problem(2, 3)
    assert fitted(regression, base, tunes, METHODS[0]).ledger.gradient_passes == 2 * 6 * 1
    # One output and two directions: the Jacobian of each example takes one backward pass.
    assert fitted(regression, base, tunes, METHODS[1]).ledger.gradient_passes == 2 * (6 * 1 + 6)


def test_frozen_and_integer_tensors_are_left_alone():
    """Only trainable parameters are merged, and a frozen one is not even part of the posterior."""
    regression, base, tunes = problem(2, 4)
    task_problem = regression.problem()

    def build():
        module = task_problem.build()
        module.register_buffer("steps", torch.tensor(3))
        module.frozen = torch.nn.Parameter(torch.ones(2, dtype=torch.float64), requires_grad=False)
        return module

    with_extra = type(task_problem)(task_problem.tasks, build, task_problem.data, "gaussian")
    extra = {"frozen": torch.ones(2, dtype=torch.float64)}
    curvatures = fit_curvatures(
        with_extra,
        {**regression.as_params(base), **extra},
        {task: {**tune, **extra} for task, tune in tunes.items()},
        METHODS[1],
    )
    assert list(merge(curvatures.posteriors(), [0.5, 0.5])) == ["linear.weight"]
