"""A training that kills its own process: `python -m tests.training.killed_training FOLDER KIND STEP`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge.training import Finetuned, TrainingRecipe, finetune
from paretomerge.types import Batch, Problem, Split

KINDS: dict[str, dict[str, Any]] = {
    "adamw": {"check_every": 3, "patience": 9, "normalise": "start", "max_norm": 1.0, "accumulate": 2},
    "sampled": {"mix": "sampled", "precision": "float16", "weight_decay": 0.1},
    "ivon": {"optimizer": "ivon", "ivon": {"samples": 2}, "precision": "bfloat16"},
}


class Noisy(nn.Module):
    """Dropout, running statistics, and a random buffer that no state dict holds."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.dropout, self.linear = nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2)
        self.register_buffer("phase", torch.rand(1), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(self.dropout(self.norm(inputs + self.phase)))


def data(task: str, split: Split) -> list[Batch]:
    draw = torch.Generator().manual_seed(len(task) + len(split))
    return [(torch.randn(n, 3, generator=draw), torch.randint(2, (n,), generator=draw)) for n in (11, 6)]


PROBLEM = Problem(("a", "other"), Noisy, data)


def train(kind: str, folder: Path | None, kill_at: int | None = None, messages: list[str] | None = None) -> Finetuned:
    """Twelve steps, a checkpoint after every fourth."""
    torch.manual_seed(0)
    start = Noisy().state_dict()
    recipe = TrainingRecipe.of({"steps": 12, "examples_per_task": 5, "save_every": 4, **KINDS[kind]})

    def on_step(step: int, loss: float) -> None:
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    say = (lambda text: None) if messages is None else messages.append
    return finetune(PROBLEM, start, {"a": 0.3, "other": 0.7}, recipe, 5, on_step, folder=folder, on_message=say)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(sys.argv[2], Path(sys.argv[1]), int(sys.argv[3]))
