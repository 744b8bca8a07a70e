"""The demo's trainings: a weak base, three finetunes, and joint grids under two seeds; each is kept on disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from paretomerge.checkpoints import open_checkpoint, write_params
from paretomerge.demo.digits import TASKS, digits_problem, pretraining_problem
from paretomerge.demo.vit import SmallViT
from paretomerge.training import TrainingRecipe, finetune
from paretomerge.types import Ledger, Params, simplex_grid

PRETRAINING = TrainingRecipe(steps=150, examples_per_task=32, learning_rate=1e-3, device="cpu")
FINETUNING = TrainingRecipe(steps=200, examples_per_task=32, learning_rate=4e-4, device="cpu")
"""One recipe for single tasks and joint mixtures: then a corner of the joint grid is a finetune. On the CPU, where
such small models train fastest and every machine gives the same numbers."""


def grid() -> np.ndarray:
    """The jointly finetuned weightings `[13, 3]`: multiples of 1/6 that give every task some weight, then the edges.

    The three even edges show what happens when a task gets no weight at all.
    """
    sixths = simplex_grid(3, 6)
    return np.concatenate([sixths[sixths.min(axis=1) > 0], 0.5 * (1 - np.eye(3))])


@dataclass(frozen=True)
class Job:
    """One training, as a process pool can take it."""

    folder: Path
    base: Path
    data_seed: int
    weights: tuple[float, ...]
    seed: int


def train(job: Job) -> Ledger:
    """Finetune from the base with the job's weights, unless the checkpoint is there already."""
    if job.folder.exists():
        return Ledger()
    problem = digits_problem({TASKS[0]: f"seed={job.data_seed}"})
    alpha = dict(zip(TASKS, job.weights, strict=True))
    result = finetune(problem, load(job.base), alpha, FINETUNING, job.seed)
    manifest = {"kind": "finetuned", "weights": alpha, "seed": job.seed, "ledger": asdict(result.ledger)}
    write_params(job.folder, result.params, manifest=manifest)
    return result.ledger


def pretrain(folder: Path, seed: int) -> Ledger:
    """A weak base model: all three tasks, few images, few steps."""
    if folder.exists():
        return Ledger()
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        start = SmallViT().state_dict()
    uniform = dict.fromkeys(TASKS, 1 / len(TASKS))
    result = finetune(pretraining_problem(seed), start, uniform, PRETRAINING, seed)
    write_params(folder, result.params, manifest={"kind": "pretrained", "seed": seed})
    return Ledger(trainings=1, gradient_passes=result.ledger.gradient_passes, seconds=time.perf_counter() - started)


def load(folder: Path) -> dict[str, torch.Tensor]:
    """A checkpoint read into memory."""
    checkpoint = open_checkpoint(folder)
    return {name: checkpoint[name] for name in checkpoint}


def load_all(folders: Sequence[Path]) -> list[Params]:
    """Several checkpoints."""
    return [load(folder) for folder in folders]
