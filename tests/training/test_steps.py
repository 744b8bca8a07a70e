"""Gradients of real training steps, seen from outside, against the analytic sum."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from paretomerge.errors import TrainingError
from paretomerge.testing import LinearRegressionTasks
from paretomerge.training import ExamplePool, IvonSettings, TrainingRecipe, finetune
from paretomerge.types import Batch, Problem

SIZES = (6, 30, 9)
ALPHA = {"task0": 0.2, "task1": 0.5, "task2": 0.3}
SEED = 4


def _tasks() -> LinearRegressionTasks:
    draw = torch.Generator().manual_seed(2)
    inputs = tuple(torch.randn(n, 3, generator=draw, dtype=torch.float64) for n in SIZES)
    return LinearRegressionTasks(inputs, tuple(torch.randn(n, generator=draw).double() for n in SIZES))


THETA = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)


def _per_example(module: nn.Module, batch: Batch) -> Tensor:
    return 0.5 * (module(batch[0]) - batch[1]).square().sum(-1)


def _mean(module: nn.Module, batch: Batch) -> Tensor:
    return _per_example(module, batch).mean()


LOSSES = {"likelihood": None, "per example": _per_example, "mean": _mean}


def _first_gradient(loss: str = "likelihood", **changes: Any) -> tuple[Tensor, float, list[int]]:
    """Gradient and loss of the first step, and the sizes of its forward passes."""
    tasks = _tasks()
    problem = tasks.problem()
    modules: list[Any] = []
    passes: list[int] = []

    def build() -> nn.Module:
        modules.append(problem.build())
        modules[-1].register_forward_pre_hook(lambda module, given: passes.append(len(given[0])))
        return modules[-1]

    watched = Problem(problem.tasks, build, problem.data, "gaussian", LOSSES[loss])
    recipe = TrainingRecipe.of({"steps": 1, "examples_per_task": 5, "learning_rate": 1e-3} | changes)
    result = finetune(watched, tasks.as_params(THETA), ALPHA, recipe, SEED)
    return modules[0].linear.weight.grad[0].clone(), result.history[0], passes


def _analytic(counts: dict[str, int]) -> tuple[Tensor, float]:
    """`Σ α_t mean over the drawn examples`, drawn as the seed says."""
    tasks = _tasks()
    gradient, loss = torch.zeros(3, dtype=torch.float64), 0.0
    for number, task in enumerate(tasks.tasks):
        pool = ExamplePool(tasks.problem().batches(task, "training"), SEED * 1009 + number)
        inputs, targets = pool.draw(counts[task])
        residuals = inputs @ THETA - targets[:, 0]
        gradient += ALPHA[task] * inputs.T @ residuals / len(residuals)
        loss += ALPHA[task] * 0.5 * float(residuals.square().mean())
    return gradient, loss


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("accumulate", [1, 2, 4, 50])
@pytest.mark.parametrize("mix", ["equal", "proportional"])
def test_the_gradient_of_a_step_is_the_analytic_sum(mix: str, accumulate: int, loss: str) -> None:
    counts = TrainingRecipe(examples_per_task=5, mix=mix).counts(ALPHA)  # type: ignore[arg-type]
    gradient, value, _ = _first_gradient(loss, mix=mix, accumulate=accumulate)
    expected, expected_value = _analytic(counts)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-13)
    assert value == pytest.approx(expected_value, rel=1e-12)


def test_whole_data_sets_in_one_step_give_the_gradient_of_the_weighted_loss() -> None:
    """45 examples in proportions 6 : 30 : 9, accumulated in pieces that cut through tasks."""
    alpha = {task: size / sum(SIZES) for task, size in zip(ALPHA, SIZES, strict=True)}
    tasks = _tasks()
    recipe = TrainingRecipe(steps=1, examples_per_task=15, mix="proportional", accumulate=4, learning_rate=1e-3)
    assert recipe.counts(alpha) == dict(zip(ALPHA, SIZES, strict=True))
    modules: list[Any] = []
    problem = tasks.problem()
    watched = Problem(
        problem.tasks, lambda: modules.append(problem.build()) or modules[-1], problem.data, "gaussian"
    )  # fmt: skip
    finetune(watched, tasks.as_params(THETA), alpha, recipe)
    expected = sum(
        weight * tasks.hessians[number] @ (THETA - tasks.finetune(number))
        for number, weight in enumerate(alpha.values())
    )
    torch.testing.assert_close(modules[0].linear.weight.grad[0], expected, rtol=1e-10, atol=1e-11)


def test_accumulation_divides_a_step_into_passes() -> None:
    assert _first_gradient()[2] == [15]
    assert _first_gradient(accumulate=4)[2] == [3, 4, 4, 4]
    assert _first_gradient(accumulate=50)[2] == [1] * 15
    # Per pass and task one call: 5 + 5 + 5 examples in pieces of 7 and 8.
    assert _first_gradient("mean", accumulate=2)[2] == [5, 2, 3, 5]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_ivon_takes_the_same_steps_in_pieces(precision: str) -> None:
    """All passes of a step see the same noise."""
    tasks = _tasks()
    settings = IvonSettings(learning_rate=0.1, hess_init=1.0, beta2=0.9, samples=2)
    results = [
        finetune(
            tasks.problem(),
            tasks.as_params(THETA),
            ALPHA,
            TrainingRecipe(
                steps=5, examples_per_task=5, optimizer="ivon", ivon=settings, accumulate=pieces, precision=precision
            ),
            SEED,
        )
        for pieces in (1, 3)
    ]
    one, other = results
    assert other.history == pytest.approx(one.history, rel=1e-11)
    for name, tensor in one.params.items():
        torch.testing.assert_close(other.params[name], tensor, rtol=1e-10, atol=0)
        torch.testing.assert_close(
            other.posterior.precision[name], one.posterior.precision[name], rtol=1e-8, atol=1e-12
        )


def test_a_sampled_mix_costs_the_same_and_reaches_the_weighted_minimiser() -> None:
    draw = torch.Generator().manual_seed(0)
    tasks = LinearRegressionTasks.random(2, 3, 24, draw)
    recipe = TrainingRecipe(steps=800, examples_per_task=24, learning_rate=0.05, mix="sampled")
    start = tasks.as_params(torch.zeros(3, dtype=torch.float64))
    result = finetune(tasks.problem(), start, {"task0": 0.2, "task1": 0.8}, recipe)
    expected = tasks.minimiser(torch.tensor([0.2, 0.8], dtype=torch.float64))
    torch.testing.assert_close(result.params["linear.weight"][0], expected, rtol=0, atol=5e-2)
    assert result.ledger.gradient_passes == 800 * 48


def test_a_module_that_raises_is_a_training_error_that_names_the_step() -> None:
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 1, bias=False, dtype=torch.float64)

        def forward(self, inputs: Tensor) -> Tensor:
            raise ValueError("seven is a bad number")

    tasks = _tasks()
    problem = Problem(tasks.tasks, Picky, tasks.problem().data, "gaussian")
    with pytest.raises(TrainingError, match="broke at step 0 of 3: ValueError: seven is a bad number"):
        finetune(problem, tasks.as_params(THETA), ALPHA, TrainingRecipe(steps=3))


def test_full_memory_comes_with_what_helps() -> None:
    def full(module: nn.Module, batch: Batch) -> Tensor:
        raise torch.OutOfMemoryError("out of memory")

    tasks = _tasks()
    problem = Problem(tasks.tasks, tasks.problem().build, tasks.problem().data, "gaussian", full)
    with pytest.raises(TrainingError, match=r"broke at step 0 of 3: out of memory\. Divide each step.*accumulate"):
        finetune(problem, tasks.as_params(THETA), ALPHA, TrainingRecipe(steps=3))
