"""Exactness: on quadratic losses, adding natural parameters is joint training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from paretomerge.errors import PosteriorError
from paretomerge.merging import merge
from paretomerge.posteriors import Dense, Diagonal, Isotropic, Subspace
from paretomerge.testing import LinearRegressionTasks
from paretomerge.types import simplex_grid

SIZES = [(2, 200), (3, 60), (4, 17), (5, 8), (6, 3)]


def random_tasks(tasks, parameters, examples=None):
    generator = torch.Generator().manual_seed(1000 * tasks + parameters)
    return LinearRegressionTasks.random(tasks, parameters, examples or 2 * parameters + 2, generator)


def relative(found, truth):
    return float((found["linear.weight"][0] - truth).norm() / truth.norm())


@pytest.mark.parametrize(("tasks", "parameters"), SIZES)
def test_the_dense_merge_is_the_weighted_multitask_minimiser(tasks, parameters):
    regression = random_tasks(tasks, parameters)
    posteriors = {
        task: Dense(regression.as_params(regression.finetune(t)), regression.hessians[t])
        for t, task in enumerate(regression.tasks)
    }
    grid = simplex_grid(tasks, 4 if tasks < 5 else 2)
    for weights, merged in zip(grid, merge(posteriors, grid), strict=True):
        assert relative(merged, regression.minimiser(torch.from_numpy(weights))) < 1e-9


@pytest.mark.parametrize("prior_precision", [0.05, 2.0])
@pytest.mark.parametrize(("tasks", "parameters", "examples"), [(2, 50, 20), (3, 10, 40), (6, 4, 3)])
def test_with_a_prior_it_is_the_ridge_regularised_minimiser_at_every_total_weight(
    tasks, parameters, examples, prior_precision
):
    """`q_t ∝ p_0 exp(-l_t)`, so `p_α ∝ p_0 exp(-Σ α_t l_t)` whatever the weights sum to, more than one included."""
    regression = random_tasks(tasks, parameters, examples)
    m0 = torch.randn(parameters, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ridge = prior_precision * torch.eye(parameters, dtype=torch.float64)
    posteriors = {}
    for t, task in enumerate(regression.tasks):
        x, y = regression.inputs[t], regression.targets[t]
        precision = regression.hessians[t] + ridge
        mean = torch.linalg.solve(precision, ridge @ m0 + x.T @ y / len(x))
        posteriors[task] = Dense(regression.as_params(mean), precision)
    prior = Dense(regression.as_params(m0), ridge)
    grid = np.concatenate([scale * simplex_grid(tasks, 2) for scale in (0.0, 0.3, 1.0, 2.5)])
    for weights, merged in zip(grid, merge(posteriors, grid, prior=prior), strict=True):
        stacked = [
            (weight / len(x)) ** 0.5 * torch.cat([x, y[:, None]], 1)
            for weight, x, y in zip(weights, regression.inputs, regression.targets, strict=True)
        ]
        pull = prior_precision**0.5 * torch.cat([torch.eye(parameters).double(), m0[:, None]], 1)
        rows = torch.cat([*stacked, pull])
        truth = torch.linalg.lstsq(rows[:, :-1], rows[:, -1:], driver="gelsd").solution[:, 0]
        assert relative(merged, truth) < 1e-9


@pytest.mark.parametrize(("tasks", "parameters"), SIZES)
def test_the_diagonal_merge_is_exact_where_hessians_are_diagonal(tasks, parameters):
    generator = torch.Generator().manual_seed(tasks)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    # Orthogonal columns: XᵀX is diagonal.
    inputs = tuple(torch.linalg.qr(draw(parameters + 5, parameters))[0] * draw(parameters).exp() for _ in range(tasks))
    regression = LinearRegressionTasks(inputs, tuple(draw(parameters + 5) for _ in range(tasks)))
    posteriors = {
        task: Diagonal(
            regression.as_params(regression.finetune(t)), regression.as_params(regression.hessians[t].diagonal())
        )
        for t, task in enumerate(regression.tasks)
    }
    grid = simplex_grid(tasks, 3)
    for weights, merged in zip(grid, merge(posteriors, grid), strict=True):
        assert relative(merged, regression.minimiser(torch.from_numpy(weights))) < 1e-9


def test_isotropic_posteriors_of_one_precision_with_their_prior_are_task_arithmetic():
    base, one, two = ({"w": torch.tensor([v, 2 * v])} for v in (1.0, 3.0, -2.0))
    posteriors = {"a": Isotropic(one, 5.0), "b": Isotropic(two, 5.0)}
    for weights in ([0.3, 0.3], [1.0, 1.0], [0.0, 2.0]):
        merged = merge(posteriors, weights, prior=Isotropic(base, 5.0))["w"]
        expected = base["w"] + weights[0] * (one["w"] - base["w"]) + weights[1] * (two["w"] - base["w"])
        assert torch.allclose(merged, expected)


def test_where_no_task_has_precision_the_weighted_average_is_taken():
    posteriors = {
        "a": Diagonal({"w": torch.tensor([1.0, 1.0])}, {"w": torch.tensor([0.0, 2.0])}),
        "b": Diagonal({"w": torch.tensor([5.0, 5.0])}, {"w": torch.tensor([0.0, 0.0])}),
    }
    assert merge(posteriors, [0.25, 0.75])["w"].tolist() == [4.0, 1.0]
    # The task that knows the second element has no weight.
    assert merge(posteriors, [0.0, 1.0])["w"].tolist() == [5.0, 5.0]


@pytest.mark.parametrize(("scale", "value"), [(1e-30, 4e-12), (1e-30, 4.0), (1e38, 4.0)])
def test_tiny_and_huge_precisions_weigh_as_their_ratio(scale, value):
    """In float32 precision times mean would underflow, or overflow."""
    posteriors = {
        "a": Diagonal({"w": torch.tensor([0.0])}, {"w": torch.tensor([1.0 * scale])}),
        "b": Diagonal({"w": torch.tensor([value])}, {"w": torch.tensor([3.0 * scale])}),
    }
    assert merge(posteriors, [0.5, 0.5])["w"].item() == pytest.approx(0.75 * value, rel=1e-6)


@pytest.mark.parametrize("shape", [(), (2,)])
@pytest.mark.parametrize("family", ["isotropic", "diagonal"])
def test_more_evidence_than_the_prior_allows_is_refused(family, shape):
    """With a sum of two the prior is subtracted once: tasks half as precise as it leave nothing."""

    def posterior(value, precision):
        mean = {"w": torch.full(shape, value)}
        return (
            Isotropic(mean, precision) if family == "isotropic" else Diagonal(mean, {"w": torch.full(shape, precision)})
        )

    for precision in (0.4, 0.5):
        with pytest.raises(PosteriorError, match="the merged precision is not positive: with weights that sum to more"):
            merge({"a": posterior(1.0, precision)}, [2.0], prior=posterior(0.0, 1.0))
    assert merge({"a": posterior(1.0, 1.0)}, [2.0], prior=posterior(0.0, 1.0))["w"].mean().item() == 2.0


def test_at_total_weight_one_the_prior_cancels_exactly():
    """0.7 + 0.2 + 0.1 is less than one by a rounding error, which must not let the prior in."""
    posteriors = {task: Diagonal({"w": torch.ones(1).double()}, {"w": torch.zeros(1)}) for task in "abc"}
    prior = Diagonal({"w": torch.full((1,), 1e6).double()}, {"w": torch.ones(1)})
    assert 0.7 + 0.2 + 0.1 < 1
    assert merge(posteriors, [0.7, 0.2, 0.1], prior=prior)["w"].item() == pytest.approx(1.0)


def test_a_merged_precision_that_is_singular_is_refused_with_the_weights():
    half = {"a": torch.diag(torch.tensor([1.0, 0.0])), "b": torch.diag(torch.tensor([0.0, 1.0]))}
    mean = {"w": torch.ones(2)}
    posteriors = {task: Dense(mean, precision) for task, precision in half.items()}
    assert merge(posteriors, [0.5, 0.5])["w"].tolist() == [1.0, 1.0]
    with pytest.raises(
        PosteriorError, match=r"the merged precision at weights \[1\.0, 0\.0\] is not positive definite"
    ):
        merge(posteriors, [1.0, 0.0])


def test_singular_subspace_posteriors_merge_though_they_have_no_mean():
    origin = {"w": torch.zeros(2, dtype=torch.float64)}
    basis = torch.eye(2, dtype=torch.float64)
    posteriors = {
        "a": Subspace(origin, basis, torch.diag(torch.tensor([1.0, 0.0])), torch.tensor([3.0, 0.0])),
        "b": Subspace(origin, basis, torch.diag(torch.tensor([0.0, 2.0])), torch.tensor([0.0, 2.0])),
    }
    assert merge(posteriors, [0.5, 0.5])["w"].tolist() == pytest.approx([3.0, 1.0])
