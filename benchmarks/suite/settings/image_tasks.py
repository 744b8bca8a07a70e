"""Digits, clothes and transformations of them: labelled 28 × 28 images under one head of ten classes.

Every task has images of its own, also where two tasks show the same things: no image is in two splits or two tasks.
Test images are those that the data sets' authors set aside for testing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.assets.images import Images, Part, fashion, mnist
from benchmarks.suite.setting import Setting, kept, unchanged
from paretomerge import TrainingRecipe, finetune
from paretomerge.types import Batch, Params, Problem, Split

BATCH_SIZE = 250


@dataclass(frozen=True)
class Task:
    """Images of a data set, all of them transformed in one way."""

    source: Callable[[Path], dict[Part, Images]]
    transform: Callable[[Tensor], Tensor] = lambda images: images


TASKS: Mapping[str, Task] = {
    "digits": Task(mnist),
    "clothes": Task(fashion),
    "digits-rotated": Task(mnist, lambda images: torch.rot90(images, 1, (1, 2))),
    "clothes-mirrored": Task(fashion, lambda images: images.flip(2)),
}
PARTS: Mapping[Part, tuple[str, ...]] = {"train": ("pretraining", "training", "validation"), "test": ("test",)}
"""Part of a data set → the splits that are taken from it."""


@dataclass(frozen=True)
class Sizes:
    """Images per task."""

    pretraining: int = 600
    training: int = 2000
    validation: int = 400
    test: int = 1000


SMOKE = Sizes(30, 60, 20, 20)
INTERIOR = 11
"""Weightings of four tasks that give every task some weight; they are repeated with other seeds."""
Labelled = tuple[Tensor, Tensor]
"""Images `[n, 28, 28]`, standardised by the moments of all pretraining images, and labels `[n]`."""


def four_task_setting(
    name: str,
    model: Callable[[], nn.Module],
    recipes: tuple[TrainingRecipe, TrainingRecipe],
    folder: Path,
    assets: Path,
    seed: int,
    smoke: bool,
    finish_of: Callable[[Problem], Callable[[Params, np.ndarray], Params]] = lambda problem: unchanged,
) -> Setting:
    """All four tasks, a weak base of our own, three seeds of the joint weightings.

    Args:
        name: of the setting.
        model: makes a fresh network.
        recipes: of pretraining, and of finetuning.
        folder: where trainings are kept.
        assets: where packages are.
        seed: of the splits, the base and the trainings.
        smoke: as small as still runs.
        finish_of: `problem → Setting.finish`.
    """
    pretraining, finetuning = recipes
    sizes = SMOKE if smoke else Sizes()
    problem = image_problem(model, image_splits(assets, seed, sizes))
    base = kept(folder / "base", lambda: pretrained(problem, shortened(pretraining, smoke), seed))
    weights = four_task_weights()
    return Setting(
        name,
        seed,
        folder,
        problem,
        base,
        shortened(finetuning, smoke),
        weights[:2] if smoke else weights,
        repeated=1 if smoke else INTERIOR,
        repeats=2 if smoke else 3,
        examples=20 if smoke else 200,
        finish=finish_of(problem),
        first_seed=10 * seed + 1,
        facts={"images per task": asdict(sizes), "parameters": sum(tensor.numel() for tensor in base.values())},
    )


def image_splits(
    assets: Path, seed: int, sizes: Sizes = Sizes(), tasks: tuple[str, ...] = tuple(TASKS)
) -> dict[str, dict[str, Labelled]]:
    """`image_splits(...)[task][split]`, `"pretraining"` among the splits.

    Raises:
        DataError, FailureError: the packages cannot be read or fetched.
    """
    raw = {task: _taken(assets, seed, sizes, task) for task in tasks}
    known = torch.cat([splits["pretraining"][0] for splits in raw.values()])
    mean, spread = known.mean(), known.std()
    return {
        task: {split: ((images - mean) / spread, labels) for split, (images, labels) in splits.items()}
        for task, splits in raw.items()
    }


def image_problem(build: Callable[[], nn.Module], splits: Mapping[str, Mapping[str, Labelled]]) -> Problem:
    """Classification of every task's images."""
    batches = {(task, split): in_batches(*held) for task, found in splits.items() for split, held in found.items()}

    def data(task: str, split: Split) -> list[Batch]:
        return batches[task, split]

    return Problem(tuple(splits), build, data)


def in_batches(images: Tensor, labels: Tensor) -> list[Batch]:
    """As evaluation reads them."""
    return list(zip(images.split(BATCH_SIZE), labels.split(BATCH_SIZE), strict=True))


def pretrained(problem: Problem, recipe: TrainingRecipe, seed: int) -> Params:
    """A weak base: from a random start, on the few pretraining images of all tasks.

    Args:
        problem: whose training split is not looked at; its `"pretraining"` batches take that place.
        recipe: the training.
        seed: of the start and the order.
    """
    beside = Problem(
        problem.tasks,
        problem.build,
        lambda task, split: problem.data(task, "pretraining"),  # type: ignore[arg-type]
        problem.likelihood,
        problem.loss_fn,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        start = problem.build().state_dict()
    uniform = dict.fromkeys(problem.tasks, 1 / len(problem.tasks))
    return finetune(beside, start, uniform, recipe, seed).params


def shortened(recipe: TrainingRecipe, smoke: bool) -> TrainingRecipe:
    """A few steps only, in smoke versions."""
    return replace(recipe, steps=4) if smoke else recipe


def four_task_weights() -> np.ndarray:
    """`[15, 4]`: even, one task heavy, two tasks heavy, and one task without any weight.

    Those that give every task some weight come first, eleven of them.
    """
    ones = np.eye(4)
    pairs = [ones[first] + ones[second] for first in range(4) for second in range(first)]
    rows = [np.full(4, 2.0), *(1 + 4 * ones), *(1 + 2 * np.array(pairs)), *((1 - ones) * 8 / 3)]
    return np.array(rows) / 8


def _taken(assets: Path, seed: int, sizes: Sizes, task: str) -> dict[str, Labelled]:
    """The task's own share of its data set, in a random order, cut into splits."""
    kind = TASKS[task]
    share = [name for name, other in TASKS.items() if other.source is kind.source].index(task)
    found: dict[str, Labelled] = {}
    for part, splits in PARTS.items():
        held = kind.source(assets)[part]
        order = torch.randperm(len(held.labels), generator=torch.Generator().manual_seed(2000 + seed))
        start = share * sum(getattr(sizes, split) for split in splits)
        for split in splits:
            count = getattr(sizes, split)
            chosen = order[start : start + count].numpy()
            images = torch.from_numpy(held.images[chosen]).float() / 255
            found[split] = (kind.transform(images).contiguous(), torch.from_numpy(held.labels[chosen]))
            start += count
    return found
