"""Centred posteriors of every family that has them, on regressions whose curvature the family can say exactly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from paretomerge.curvature import FitDiagonal, FitKronecker, fit_curvatures
from paretomerge.merging import merge
from paretomerge.posteriors import Expanded, damp
from paretomerge.testing.problems import LinearRegressionTasks

WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)


def uncoupled(seed: int) -> LinearRegressionTasks:
    """Regressions with orthogonal inputs: their Hessians are diagonal."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    inputs = tuple(torch.linalg.qr(draw(8, 4))[0] * (draw(4).square() + 0.2) for _ in range(3))
    return LinearRegressionTasks(inputs, tuple(draw(8) for _ in range(3)))


def unfinished(tasks: LinearRegressionTasks) -> dict:
    """Finetunes that stopped before the minimum: at them the gradient is not zero."""
    return {task: tasks.as_params(0.6 * tasks.finetune(number)) for number, task in enumerate(tasks.tasks)}


@pytest.mark.parametrize(
    "method",
    [
        FitDiagonal("ggn", location="centred"),
        FitKronecker(True, "ggn", location="centred", common_bases=False),
        FitKronecker(False, "ggn", location="centred", common_bases=False),
    ],
    ids=["diagonal", "EKFAC", "K-FAC"],
)
def test_with_little_damping_the_merge_is_the_weighted_minimum(method):
    tasks = uncoupled(0)
    base = tasks.as_params(torch.zeros(4, dtype=torch.float64))
    found = fit_curvatures(tasks.problem(), base, unfinished(tasks), method)
    assert all(isinstance(curvature, Expanded) for curvature in found.bare.values())
    merged = merge(damp(found.bare, 1e-9), WEIGHTS.tolist())["linear.weight"][0]
    assert torch.allclose(merged, tasks.minimiser(WEIGHTS), rtol=1e-6)


def test_with_much_damping_the_merge_is_the_average():
    tasks = uncoupled(0)
    base = tasks.as_params(torch.zeros(4, dtype=torch.float64))
    finetunes = unfinished(tasks)
    found = fit_curvatures(tasks.problem(), base, finetunes, FitDiagonal("ggn", location="centred"))
    merged = merge(damp(found.bare, 1e9), WEIGHTS.tolist())["linear.weight"]
    average = sum(w * finetune["linear.weight"] for w, finetune in zip(WEIGHTS, finetunes.values(), strict=True))
    assert torch.allclose(merged, average, rtol=1e-6)


def test_a_layer_of_one_output_is_its_kronecker_product():
    """Dense inputs, one output: `H = A ⊗ 1`, so K-FAC is exact at the finetunes too."""
    tasks = LinearRegressionTasks.random(3, 4, 12, torch.Generator().manual_seed(1))
    base = tasks.as_params(torch.zeros(4, dtype=torch.float64))
    finetunes = {task: tasks.as_params(tasks.finetune(number)) for number, task in enumerate(tasks.tasks)}
    for corrected in (True, False):
        method = FitKronecker(corrected, "ggn", common_bases=False)
        found = fit_curvatures(tasks.problem(), base, finetunes, method)
        merged = merge(damp(found.bare, 1e-10), WEIGHTS.tolist())["linear.weight"][0]
        assert torch.allclose(merged, tasks.minimiser(WEIGHTS), rtol=1e-6)


def test_the_predicted_loss_is_the_loss():
    tasks = uncoupled(0)
    base = tasks.as_params(torch.zeros(4, dtype=torch.float64))
    found = fit_curvatures(tasks.problem(), base, unfinished(tasks), FitDiagonal("ggn", location="centred"))
    theta = torch.tensor([0.3, -1.0, 2.0, 0.5], dtype=torch.float64)
    for number, task in enumerate(tasks.tasks):
        expected = float(tasks.loss(number, theta))
        assert found.losses[task].at(tasks.as_params(theta)) == pytest.approx(expected, rel=1e-9)


def test_gradients_are_charged():
    tasks = uncoupled(0)
    base = tasks.as_params(torch.zeros(4, dtype=torch.float64))
    costs = [
        fit_curvatures(tasks.problem(), base, unfinished(tasks), FitDiagonal("ggn", location=place)).ledger
        for place in ("average", "centred")
    ]
    assert costs[1].gradient_passes - costs[0].gradient_passes == 3 * 8
