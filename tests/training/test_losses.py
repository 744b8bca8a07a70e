from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from paretomerge.errors import DataError, InputError, TrainingError
from paretomerge.training.batches import StepBatch
from paretomerge.training.losses import TaskLoss
from paretomerge.types import Batch


def _module() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2, dtype=torch.float64)


def _batch(sizes: dict[str, int], seed: int = 1) -> StepBatch:
    draw = torch.Generator().manual_seed(seed)
    examples: dict[str, Batch] = {
        task: (torch.randn(n, 3, generator=draw, dtype=torch.float64), torch.randn(n, 2, generator=draw).double())
        for task, n in sizes.items()
    }
    return StepBatch(examples, {task: 0.1 + 0.3 * number for number, task in enumerate(sizes)})


def _per_example(module: nn.Module, batch: Batch) -> Tensor:
    return 0.5 * (module(batch[0]) - batch[1]).square().sum(-1)


def _mean(module: nn.Module, batch: Batch) -> Tensor:
    return _per_example(module, batch).mean()


LOSSES = {
    "likelihood": TaskLoss("gaussian"),
    "per example": TaskLoss("gaussian", _per_example),
    "mean": TaskLoss("gaussian", _mean),
}


def _gradient(loss: TaskLoss, pieces: list[StepBatch]) -> tuple[float, Tensor]:
    module = _module()
    total = 0.0
    for piece in pieces:
        value = loss.weighted(module, piece.examples, piece.shares)
        value.backward()
        total += float(value.detach())
    return total, torch.cat([module.weight.grad.flatten(), module.bias.grad])


@pytest.mark.parametrize("kind", LOSSES)
def test_every_kind_of_loss_has_the_gradient_of_the_analytic_sum(kind: str) -> None:
    batch = _batch({"a": 5, "b": 2, "c": 1})
    module = _module()
    expected = torch.zeros(8, dtype=torch.float64)
    value = 0.0
    for task, (inputs, targets) in batch.examples.items():
        residuals = (inputs @ module.weight.T + module.bias - targets).detach()
        value += batch.shares[task] * 0.5 * float(residuals.square().sum())
        expected += batch.shares[task] * torch.cat([(residuals.T @ inputs).flatten(), residuals.sum(0)])
    found, gradient = _gradient(LOSSES[kind], [batch])
    assert found == pytest.approx(value, rel=1e-13)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-13)


@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    pieces=st.integers(1, 9),
    kind=st.sampled_from(sorted(LOSSES)),
)
def test_pieces_add_up_to_the_whole_however_it_is_cut(sizes: list[int], pieces: int, kind: str) -> None:
    batch = _batch({f"task{number}": size for number, size in enumerate(sizes)})
    parts = batch.cut(pieces)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert sum(map(len, parts)) == len(batch)
    whole = _gradient(LOSSES["likelihood"], [batch])
    found = _gradient(LOSSES[kind], [part for part in parts if len(part)])
    assert found[0] == pytest.approx(whole[0], rel=1e-12)
    torch.testing.assert_close(found[1], whole[1], rtol=1e-11, atol=1e-12)


def test_a_loss_of_ones_own_is_called_once_per_task() -> None:
    seen: list[int] = []

    def watched(module: nn.Module, batch: Batch) -> Tensor:
        seen.append(len(batch[1]))
        return _mean(module, batch)

    batch = _batch({"a": 4, "b": 3})
    TaskLoss("gaussian", watched).weighted(_module(), batch.examples, batch.shares)
    assert seen == [4, 3]


def test_a_loss_in_reduced_precision_is_summed_in_float32() -> None:
    def reduced(module: nn.Module, batch: Batch) -> Tensor:
        return torch.full((len(batch[1]),), 1.0, dtype=torch.bfloat16, requires_grad=True)

    inputs, targets = torch.zeros(1000, 3), torch.zeros(1000, 2)
    found = TaskLoss("gaussian", reduced).weighted(_module(), {"a": (inputs, targets)}, {"a": 1.0})
    assert found.dtype == torch.float32
    assert float(found.detach()) == 1000.0


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda module, batch: torch.zeros(3), r"a tensor \[3\] for 4 examples of task 'a': return one loss per"),
        (lambda module, batch: torch.zeros(4, 1), r"a tensor \[4, 1\] for 4 examples"),
        (lambda module, batch: 0.5, "returned float for 4 examples"),
    ],
)
def test_what_is_no_loss_is_refused(returned, message: str) -> None:
    batch = _batch({"a": 4})
    with pytest.raises(DataError, match=message):
        TaskLoss("gaussian", returned).weighted(_module(), batch.examples, batch.shares)


def test_a_loss_that_raises_is_a_training_error_with_the_task_named() -> None:
    def broken(module: nn.Module, batch: Batch) -> Tensor:
        raise KeyError("labels")

    batch = _batch({"a": 4})
    with pytest.raises(TrainingError, match=r"loss_fn raised KeyError on 4 examples of task 'a'.*labels"):
        TaskLoss("gaussian", broken).weighted(_module(), batch.examples, batch.shares)


def test_what_a_loss_raises_on_purpose_comes_through() -> None:
    def refusing(module: nn.Module, batch: Batch) -> Tensor:
        raise InputError("not these")

    batch = _batch({"a": 4})
    with pytest.raises(InputError, match="not these"):
        TaskLoss("gaussian", refusing).weighted(_module(), batch.examples, batch.shares)
