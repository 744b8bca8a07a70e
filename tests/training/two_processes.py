"""What two processes do together: run as a program by each of them, `python -m tests.training.two_processes FOLDER`.

Every scenario is a function that a single process can run too. Results go to FOLDER/<process>.pt.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge.errors import ParetomergeError
from paretomerge.testing import LinearRegressionTasks
from paretomerge.training import TrainingRecipe, finetune
from paretomerge.types import Batch, Params, Problem, Split


def uneven() -> LinearRegressionTasks:
    """Three regressions with 6, 9 and 4 examples."""
    draw = torch.Generator().manual_seed(2)
    inputs = tuple(torch.randn(n, 3, generator=draw, dtype=torch.float64) for n in (6, 9, 4))
    return LinearRegressionTasks(inputs, tuple(torch.randn(len(x), generator=draw).double() for x in inputs))


ALPHA = {"task0": 0.5, "task1": 0.2, "task2": 0.3}
FAST = {"steps": 6, "examples_per_task": 3, "learning_rate": 0.05}


def _regression(alpha: dict[str, float] | None = None, **changes: Any) -> dict[str, Any]:
    tasks = uneven()
    start = tasks.as_params(torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64))
    recipe = TrainingRecipe.of(FAST | changes)
    seen: list[str] = []
    result = finetune(
        tasks.problem(3), start, alpha or ALPHA, recipe, 3, lambda step, loss: seen.append("step"),
        on_message=lambda text: seen.append("message"),
    )  # fmt: skip
    return _plain(result) | {"seen": seen}


def _plain(result: Any) -> dict[str, Any]:
    return {
        "history": list(result.history),
        "params": dict(result.params),
        "precision": {} if result.posterior is None else dict(result.posterior.precision),
        "scales": dict(result.scales),
        "checks": [(check.step, check.loss) for check in result.checks],
        "steps": result.steps,
        "passes": result.ledger.gradient_passes,
    }


class Heads(nn.Module):
    """A body that tasks share, a head for each, and one that nobody uses."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4, dtype=torch.float64)
        self.heads = nn.ModuleDict({task: nn.Linear(4, 1, dtype=torch.float64) for task in (*ALPHA, "nobody")})


def head_loss(module: nn.Module, batch: Batch) -> Tensor:
    """The loss of the head that the first column of the targets names."""
    inputs, targets = batch
    task = f"task{int(targets[0, 0])}"
    assert isinstance(module, Heads), "the module that was built, not a wrapper"
    found = module.heads[task](torch.tanh(module.body(inputs)))[:, 0]
    return 0.5 * (found - targets[:, 1]).square()


def _heads() -> dict[str, Any]:
    tasks = uneven()

    def data(task: str, split: Split) -> list[Batch]:
        number = int(task[-1])
        y = tasks.targets[number]
        return [(tasks.inputs[number], torch.stack([torch.full_like(y, number), y], 1))]

    torch.manual_seed(1)
    start = Heads().state_dict()
    recipe = TrainingRecipe(steps=4, examples_per_task=3, learning_rate=0.05, weight_decay=0.1, max_norm=0.5)
    return _plain(finetune(Problem(tuple(ALPHA), Heads, data, "gaussian", head_loss), start, ALPHA, recipe))


class Noisy(nn.Module):
    """Dropout, and running statistics of what each process has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.dropout = nn.BatchNorm1d(3), nn.Dropout(0.5)
        self.linear = nn.Linear(3, 1)
        self.register_buffer("seen", torch.zeros(2, dtype=torch.bool))

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen[0] = True
        return self.linear(self.dropout(self.norm(inputs) if len(inputs) > 1 else inputs))


def noisy_problem() -> tuple[Problem, Params]:
    draw = torch.Generator().manual_seed(1)
    batch = (torch.randn(40, 3, generator=draw), torch.randn(40, 1, generator=draw))
    torch.manual_seed(4)
    return Problem(("a",), Noisy, lambda task, split: [batch], "gaussian"), Noisy().state_dict()


def _noisy(**changes: Any) -> dict[str, Any]:
    problem, start = noisy_problem()
    recipe = TrainingRecipe.of({"steps": 6, "examples_per_task": 16, "learning_rate": 0.01} | changes)
    return _plain(finetune(problem, start, {"a": 1.0}, recipe))


def draws() -> list[float]:
    """The random numbers that a loss draws here."""
    problem, start = noisy_problem()
    seen: list[float] = []

    def loss(module: nn.Module, batch: Batch) -> Tensor:
        seen.append(float(torch.rand(())))
        return module(batch[0])[:, 0].square()

    random = Problem(problem.tasks, problem.build, problem.data, "gaussian", loss)
    finetune(random, start, {"a": 1.0}, TrainingRecipe(steps=3, examples_per_task=8))
    return seen


def _resumed(folder: Path) -> dict[str, Any]:
    """Stopped by its own loss after five steps, in every process alike, and taken up again."""
    problem, start = noisy_problem()
    calls: list[int] = []

    def loss(module: nn.Module, batch: Batch) -> Tensor:
        calls.append(len(batch[1]))
        if len(calls) == 6:
            raise KeyboardInterrupt
        return 0.5 * (module(batch[0]) - batch[1]).square().sum(-1)

    problem = Problem(problem.tasks, problem.build, problem.data, "gaussian", loss)
    recipe = TrainingRecipe(steps=8, examples_per_task=16, learning_rate=0.01, save_every=2)
    messages: list[str] = []
    try:
        finetune(problem, start, {"a": 1.0}, recipe, folder=folder)
        stopped = False
    except KeyboardInterrupt:
        stopped = True
    calls.extend([0] * 100)
    there = (folder / "training.pt").is_file()
    again = finetune(problem, start, {"a": 1.0}, recipe, folder=folder, on_message=messages.append)
    whole = finetune(problem, start, {"a": 1.0}, recipe)
    return {
        "stopped": stopped, "there": there, "messages": messages, "again": _plain(again), "whole": _plain(whole),
        "gone": not folder.exists(),
    }  # fmt: skip


def _own_folders(folder: Path) -> str:
    """Processes that do not share a folder, of which one has a checkpoint."""
    problem, start = noisy_problem()
    recipe = TrainingRecipe(steps=4, examples_per_task=4, save_every=2)
    mine = folder / f"own{os.environ.get('RANK', '0')}"
    finetune(problem, start, {"a": 1.0}, recipe, folder=mine, keep_folder=True)
    try:
        finetune(problem, start, {"a": 1.0}, recipe, folder=mine)
    except ParetomergeError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _diverging() -> str:
    try:
        _regression(steps=40, learning_rate=1e300)
    except ParetomergeError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _other_engine() -> str:
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    try:
        _regression(steps=1)
    except ParetomergeError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        del os.environ["ACCELERATE_USE_DEEPSPEED"]
    return ""


def _other_device() -> str:
    try:
        _regression(steps=1, device="cuda")
    except ParetomergeError as error:
        return f"{type(error).__name__}: {error}"
    return ""


SAME_AS_ALONE: dict[str, Callable[[], dict[str, Any]]] = {
    "equal": _regression,
    "proportional": lambda: _regression(mix="proportional", max_norm=0.1),
    "sampled": lambda: _regression(mix="sampled"),
    "accumulated": lambda: _regression(accumulate=3),
    "fewer examples than processes": lambda: _regression(
        {"task0": 1.0, "task1": 0.0, "task2": 0.0}, examples_per_task=1
    ),
    "normalised, checked": lambda: _regression(normalise="start", check_every=2, patience=1, learning_rate=1.0),
    "ivon": lambda: _regression(optimizer="ivon", ivon={"samples": 2}, accumulate=2),
    "heads": _heads,
}
"""Scenarios without dropout: how many processes there are changes rounding only."""


def main(folder: Path) -> None:
    """Run every scenario, and keep what this process saw."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {name: run() for name, run in SAME_AS_ALONE.items()}
    found["noisy"] = _noisy()
    found["draws"] = draws()
    found["float16"] = _noisy(precision="float16")
    found["float16, one example"] = _noisy(precision="float16", examples_per_task=1)
    found["resumed"] = _resumed(folder / "resumed")
    found["own folders"] = _own_folders(folder)
    found["diverging"] = _diverging()
    found["other engine"] = _other_engine()
    found["other device"] = _other_device()
    torch.save(found, folder / f"{os.environ['RANK']}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
