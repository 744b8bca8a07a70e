from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from paretomerge.testing import LinearRegressionTasks
from paretomerge.training import TrainingRecipe
from paretomerge.training.batches import StepBatch, StepBatches
from paretomerge.types import Problem


def _uneven(generator: torch.Generator, sizes: tuple[int, ...] = (2, 3)) -> LinearRegressionTasks:
    inputs = tuple(torch.randn(n, 2, generator=generator, dtype=torch.float64) for n in sizes)
    return LinearRegressionTasks(inputs, tuple(torch.randn(n, generator=generator).double() for n in sizes))


def _slope(batch: StepBatch) -> Tensor:
    """`Σ share ∇loss` at zero, where the gradient of ½(xᵀθ - y)² is -xy."""
    return -sum(
        (batch.shares[task] * (inputs * targets).sum(0) for task, (inputs, targets) in batch.examples.items()),
        torch.zeros(2, dtype=torch.float64),
    )


def _exact(tasks: LinearRegressionTasks, alpha: dict[str, float], scales: dict[str, float]) -> Tensor:
    """`Σ α_t / s_t · mean gradient of task t`, on paper."""
    return sum(
        (
            -alpha[task] / scales[task] * (x * y[:, None]).mean(0)
            for task, x, y in zip(tasks.tasks, tasks.inputs, tasks.targets, strict=True)
        ),
        torch.zeros(2, dtype=torch.float64),
    )


@pytest.mark.parametrize("mix", ["equal", "proportional", "sampled"])
def test_the_expectation_over_everything_that_can_be_drawn_is_the_analytic_sum(
    mix: str, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every order of the examples and every draw of tasks, each with its probability."""
    tasks = _uneven(generator)
    alpha, scales = {"task0": 0.3, "task1": 0.7}, {"task0": 2.0, "task1": 0.5}
    recipe = TrainingRecipe(examples_per_task=1, mix=mix)  # type: ignore[arg-type]
    batches = StepBatches(tasks.problem(), alpha, recipe, 0)
    batches.scales = scales
    if mix == "sampled":
        total = 2
        draws = {n: math.comb(total, n) * 0.3**n * 0.7 ** (total - n) for n in range(total + 1)}
        outcomes = [({"task0": n, "task1": total - n}, chance) for n, chance in draws.items()]
    else:
        outcomes = [(recipe.counts(alpha), 1.0)]
    found = torch.zeros(2, dtype=torch.float64)
    orders = [list(itertools.permutations(range(len(x)))) for x in tasks.inputs]
    for counts, chance in outcomes:
        monkeypatch.setattr(batches, "_counts", lambda counts=counts: counts)
        for chosen in itertools.product(*orders):
            for task, order in zip(tasks.tasks, chosen, strict=True):
                state = batches.pools[task].state()
                batches.pools[task].restore({**state, "order": torch.tensor(order)})
            found += chance / math.prod(map(len, orders)) * _slope(batches.draw())
    torch.testing.assert_close(found, _exact(tasks, alpha, scales), rtol=1e-12, atol=1e-13)


def test_the_tasks_of_a_sampled_mix_are_drawn_with_their_weights(generator: torch.Generator) -> None:
    """The count of a task is binomial: its mean and variance within five standard errors of 2000 draws."""
    tasks = _uneven(generator, (5, 4, 3))
    alpha = {"task0": 0.6, "task1": 0.1, "task2": 0.3}
    recipe = TrainingRecipe(examples_per_task=4, mix="sampled")
    batches = StepBatches(tasks.problem(), alpha, recipe, 3)
    draws, total = 2000, 12
    counts = torch.zeros(draws, 3, dtype=torch.float64)
    for row in range(draws):
        batch = batches.draw()
        assert len(batch) == total
        assert set(batch.shares.values()) == {1 / total}
        for task, (_, targets) in batch.examples.items():
            counts[row, tasks.tasks.index(task)] = len(targets)
    chances = torch.tensor(list(alpha.values()), dtype=torch.float64)
    variance = total * chances * (1 - chances)
    assert ((counts.mean(0) - total * chances).abs() < 5 * (variance / draws).sqrt()).all()
    assert ((counts.var(0) / variance - 1).abs() < 5 * (2 / draws) ** 0.5 + 0.05).all()


@pytest.mark.parametrize("mix", ["equal", "proportional", "sampled"])
def test_state_brings_back_the_same_draws(mix: str, generator: torch.Generator) -> None:
    tasks = _uneven(generator, (7, 5))
    alpha = {"task0": 0.4, "task1": 0.6}
    recipe = TrainingRecipe(examples_per_task=3, mix=mix)  # type: ignore[arg-type]
    batches = StepBatches(tasks.problem(), alpha, recipe, 5)
    for _ in range(4):
        batches.draw()
    state = batches.state()
    expected = [_slope(batches.draw()) for _ in range(6)]
    again = StepBatches(tasks.problem(), alpha, recipe, 5)
    again.restore(state)
    found = [_slope(again.draw()) for _ in range(6)]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_drawing_does_not_change_a_state_that_was_taken(generator: torch.Generator) -> None:
    batches = StepBatches(
        _uneven(generator, (7, 5)).problem(), {"task0": 0.4, "task1": 0.6}, TrainingRecipe(examples_per_task=3), 5
    )
    batches.draw()
    state = batches.state()
    order = state["pools"]["task0"]["order"].clone()
    batches.draw()
    assert torch.equal(state["pools"]["task0"]["order"], order)


def test_a_task_without_weight_is_not_read(generator: torch.Generator) -> None:
    tasks = _uneven(generator)

    def data(task: str, split: str) -> object:
        assert task == "task1"
        return tasks.problem().data(task, "training")

    problem = Problem(tasks.tasks, tasks.problem().build, data, "gaussian")  # type: ignore[arg-type]
    for mix in ("equal", "proportional", "sampled"):
        recipe = TrainingRecipe(examples_per_task=2, mix=mix)  # type: ignore[arg-type]
        batch = StepBatches(problem, {"task0": 0.0, "task1": 1.0}, recipe, 0).draw()
        assert list(batch.examples) == ["task1"]


def test_cutting_keeps_the_order_and_leaves_out_tasks_without_examples() -> None:
    rows = torch.arange(5.0)[:, None]
    batch = StepBatch({"a": (rows[:2], rows[:2]), "b": (rows[2:], rows[2:])}, {"a": 1.0, "b": 2.0})
    parts = batch.cut(3)
    assert [list(part.examples) for part in parts] == [["a"], ["a", "b"], ["b"]]
    seen = torch.cat([targets for part in parts for _, targets in part.examples.values()])
    assert torch.equal(seen, rows)
    assert batch.cut(1) == [batch]
    assert [len(part) for part in batch.cut(8)] == [0, 1, 0, 1, 1, 0, 1, 1]


def test_pieces_of_texts_are_cut_to_their_longest() -> None:
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]])
    inputs = {"input_ids": mask * 5, "attention_mask": mask}
    parts = StepBatch({"a": (inputs, mask * 5)}, {"a": 1.0}).cut(2)
    assert [part.examples["a"][0]["input_ids"].shape[1] for part in parts] == [4, 2]
    assert [part.examples["a"][1].shape[1] for part in parts] == [4, 2]


def test_moving_to_a_device_moves_tensors_and_leaves_the_rest() -> None:
    inputs = {"input_ids": torch.zeros(2, 3), "mode": "fast"}
    batch = StepBatch({"a": (inputs, torch.zeros(2)), "b": (torch.zeros(2, 3), torch.zeros(2))}, {"a": 1.0, "b": 1.0})
    moved = batch.to(torch.device("meta"))
    assert moved.examples["a"][0]["input_ids"].device.type == moved.examples["a"][1].device.type == "meta"
    assert moved.examples["a"][0]["mode"] == "fast"
    assert moved.examples["b"][0].device.type == "meta"
    assert moved.shares == batch.shares
