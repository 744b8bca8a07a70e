"""Finetunes of digits that are turned: three tasks as in the demo, or four with the images upside down as well.

Only what a recorded landscape needs is trained: the base and one finetune per task, no joint finetuning. Checkpoints
that `benchmarks/posteriors` has trained are taken as they are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from benchmarks.posteriors.settings import Setting, trainer

from paretomerge.demo.digits import TASKS, batches_of
from paretomerge.demo.trainings import FINETUNING, load, pretrain
from paretomerge.demo.vit import SmallViT
from paretomerge.types import Batch, Problem, Split

FOURTH = "reversed"


def turned_digits(out: Path, seed: int, tasks: int) -> Setting:
    """One seed with three or four tasks; the base has seen the first three only."""
    names = (*TASKS, FOURTH)[:tasks]
    folder = out / "digits" / f"seed{seed}"
    problem = Problem(names, SmallViT, lambda task, split: batches(seed, split, task))
    pretrain(folder / "checkpoints" / "base", seed)
    base = load(folder / "checkpoints" / "base")
    train = trainer(problem, base)
    first = 10 * seed + 1
    finetunes = {
        task: train(folder / "checkpoints" / task, row, first, FINETUNING)
        for task, row in zip(names, np.eye(tasks), strict=True)
    }
    return Setting(
        "digits", seed, folder, problem, base, finetunes, np.eye(tasks), (), (), 200, train, FINETUNING, first
    )


def batches(seed: int, split: Split, task: str) -> list[Batch]:
    """The demo's batches; the fourth task's are the upright images upside down."""
    if task != FOURTH:
        return batches_of(seed, split, task)
    return [
        (torch.rot90(images, 2, (1, 2)).contiguous(), labels) for images, labels in batches_of(seed, split, TASKS[0])
    ]
