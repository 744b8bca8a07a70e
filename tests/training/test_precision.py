from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from paretomerge.errors import TrainingError
from paretomerge.training import TrainingRecipe, finetune
from paretomerge.training.precision import MOST_SKIPPED, Precision
from paretomerge.types import Batch, Problem

CPU = torch.device("cpu")


def _problem(loss_fn=None) -> tuple[Problem, dict[str, Tensor], list[torch.dtype]]:
    seen: list[torch.dtype] = []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 16), nn.Linear(16, 2)

        def forward(self, inputs: Tensor) -> Tensor:
            found = self.second(torch.relu(self.first(inputs)))
            seen.append(found.dtype)
            return found

    draw = torch.Generator().manual_seed(1)
    inputs = torch.randn(60, 3, generator=draw)
    batch = (inputs, (inputs.sum(1) > 0).long())
    torch.manual_seed(0)
    return Problem(("a",), Watched, lambda task, split: [batch], "categorical", loss_fn), Watched().state_dict(), seen


@pytest.mark.parametrize(("precision", "dtype"), [("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_reduced_precision_runs_the_forward_pass_and_learns_the_same(precision: str, dtype: torch.dtype) -> None:
    problem, start, seen = _problem()
    recipe = TrainingRecipe(steps=60, examples_per_task=30, learning_rate=0.02)
    exact = finetune(problem, start, {"a": 1.0}, recipe)
    seen.clear()
    messages: list[str] = []
    settings = recipe.identity() | {"precision": precision, "check_every": 60}
    found = finetune(problem, start, {"a": 1.0}, TrainingRecipe.of(settings), on_message=messages.append)
    assert set(seen) == {dtype}
    assert all(tensor.dtype == torch.float32 for tensor in found.params.values())
    assert found.history[-1] == pytest.approx(exact.history[-1], abs=0.03)
    assert found.history[-1] < 0.3 * found.history[0]
    assert messages == []


def _huge(module: nn.Module, batch: Batch) -> Tensor:
    """The scale starts at 65536, with which this overflows until it is halved a few times."""
    return 1e4 * nn.functional.cross_entropy(module(batch[0]).float(), batch[1], reduction="none")


def test_a_training_that_goes_on_knows_its_scale_and_what_it_skipped(tmp_path: Path) -> None:
    problem, start, _ = _problem(_huge)
    recipe = TrainingRecipe(steps=30, examples_per_task=30, precision="float16", save_every=10)
    messages: dict[str, list[str]] = {"whole": [], "again": []}
    whole = finetune(problem, start, {"a": 1.0}, recipe, on_message=messages["whole"].append)

    def stop(step: int, loss: float) -> None:
        if step == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(problem, start, {"a": 1.0}, recipe, on_step=stop, folder=tmp_path)
    again = finetune(problem, start, {"a": 1.0}, recipe, folder=tmp_path, on_message=messages["again"].append)
    assert again.history == whole.history
    assert messages["again"][1:] == messages["whole"]
    assert len(messages["whole"]) == 1


def test_a_step_that_overflows_is_skipped_and_counted() -> None:
    problem, start, _ = _problem(_huge)
    messages: list[str] = []
    recipe = TrainingRecipe(steps=40, examples_per_task=30, precision="float16", learning_rate=0.02, warmup=0.0)
    found = finetune(problem, start, {"a": 1.0}, recipe, on_message=messages.append)
    assert len(messages) == 1
    skipped = int(messages[0].split()[0])
    assert messages == [f"{skipped} of 40 steps overflowed and were skipped"]
    assert 0 < skipped < 30
    assert found.history[-1] < 0.9 * found.history[0]


def test_gradients_are_clipped_at_their_own_scale() -> None:
    problem, start, _ = _problem()
    modules: list[nn.Module] = []
    watched = Problem(("a",), lambda: modules.append(problem.build()) or modules[-1], problem.data)
    norms: list[float] = []

    def norm(step: int, loss: float) -> None:
        gradients = [parameter.grad for parameter in modules[0].parameters() if parameter.grad is not None]
        norms.append(float(torch.cat([gradient.flatten() for gradient in gradients]).norm()))

    recipe = TrainingRecipe(steps=3, examples_per_task=30, precision="float16", max_norm=1e-3)
    finetune(watched, start, {"a": 1.0}, recipe, on_step=norm)
    assert norms == pytest.approx([1e-3] * 3, rel=1e-2)


def test_a_training_that_overflows_in_every_step_stops_with_advice() -> None:
    precision = Precision("float16", CPU)
    parameter = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    parameter.grad = torch.tensor([math.inf])
    for _ in range(MOST_SKIPPED - 1):
        precision.step(optimizer)
    with pytest.raises(TrainingError, match=f"{MOST_SKIPPED} steps in a row overflowed in float16: set precision to"):
        precision.step(optimizer)
    assert precision.skipped == MOST_SKIPPED
    assert float(parameter.detach()) == 1.0


def test_a_step_that_works_ends_a_row_of_overflows() -> None:
    precision = Precision("float16", CPU)
    parameter = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    for step in range(2 * MOST_SKIPPED):
        parameter.grad = torch.tensor([0.0 if step % 10 == 9 else math.inf])
        precision.step(optimizer)
    assert precision.skipped == 2 * MOST_SKIPPED * 9 // 10


def test_state_brings_the_scale_back() -> None:
    one, other = Precision("float16", CPU), Precision("float16", CPU)
    parameter = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    for _ in range(3):
        parameter.grad = torch.tensor([math.inf])
        one.step(optimizer)
    other.restore(one.state())
    assert other.state() == one.state()
    assert other.skipped == 3
    assert one.state()["scaler"]["scale"] == 65536.0 / 8


def test_divergence_in_float16_names_bfloat16() -> None:
    problem, start, _ = _problem(lambda module, batch: module(batch[0]).sum(1) * math.nan)
    with pytest.raises(TrainingError, match="set precision to bfloat16 if float16 overflowed"):
        finetune(problem, start, {"a": 1.0}, TrainingRecipe(precision="float16"))
