"""Settings that train and fit within a second: a perceptron, with batch statistics or heads of its own where asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from benchmarks.suite.setting import Setting, kept, unchanged
from torch import Tensor, nn

from paretomerge import Problem
from paretomerge.training import LoraSettings, TrainingRecipe
from paretomerge.types import Batch, Params

SIZES = {"training": 48, "validation": 24, "test": 20}
CLASSES = 3


class Headed(nn.Module):
    """One wide head, of which every example names the part that is its task's."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, CLASSES * tasks)

    def forward(self, inputs: Tensor, offsets: Tensor) -> Tensor:
        places = offsets[:, None] + torch.arange(CLASSES)
        return self.head(torch.tanh(self.body(inputs))).gather(1, places)


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, CLASSES))


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, CLASSES))


def examples(number: int, split: str) -> tuple[Tensor, Tensor]:
    """Inputs and labels of one task: the next task's labels are one further."""
    generator = torch.Generator().manual_seed(100 * number + len(split))
    inputs = torch.randn(SIZES[split], 4, generator=generator)
    directions = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, -0.5, 0]])
    return inputs, ((inputs @ directions).argmax(1) + number) % CLASSES


def problem_of(count: int, kind: str) -> Problem:
    """`count` tasks."""
    tasks = tuple(f"task {number}" for number in range(count))

    def data(task: str, split: str) -> list[Batch]:
        number = tasks.index(task)
        inputs, labels = examples(number, split)
        if kind == "heads":
            offsets = torch.full((len(labels),), CLASSES * number)
            pairs = zip(inputs.split(16), offsets.split(16), strict=True)
            return [({"inputs": x, "offsets": o}, y) for (x, o), y in zip(pairs, labels.split(16), strict=True)]
        return list(zip(inputs.split(16), labels.split(16), strict=True))

    build = {"heads": lambda: Headed(count), "statistics": normalised}.get(kind, perceptron)
    return Problem(tasks, build, data)  # type: ignore[arg-type]


def tiny_setting(folder: Path, count: int = 3, kind: str = "plain", seed: int = 0) -> Setting:
    """`kind`: plain, heads, statistics, lora or bfloat16."""
    problem = problem_of(count, kind)

    def pretrained() -> Params:
        torch.manual_seed(seed)
        return problem.build().state_dict()

    lora = LoraSettings(rank=2, target_modules=("0", "2")) if kind == "lora" else None
    equal = np.full(count, 1 / count)
    rows = np.stack([equal, (equal + np.eye(count)[0]) / 2])
    return Setting(
        "tiny",
        seed,
        folder,
        problem,
        kept(folder / "base", pretrained),
        TrainingRecipe(steps=20, examples_per_task=8, learning_rate=0.02, lora=lora),
        rows,
        repeated=1,
        examples=16,
        bfloat16=kind == "bfloat16",
        finish=refreshed(problem) if kind == "statistics" else unchanged,
    )


def refreshed(problem: Problem):
    """Batch statistics of the training data, all tasks alike."""

    def finish(params: Params, weights: np.ndarray) -> Params:
        module = normalised()
        module.load_state_dict({name: params[name] for name in params})
        module[1].momentum = None
        module[1].reset_running_stats()
        module.train()
        with torch.no_grad():
            for task in problem.tasks:
                for inputs, _ in problem.data(task, "training"):
                    module(inputs)
        return {name: tensor.clone() for name, tensor in module.state_dict().items()}

    return finish
