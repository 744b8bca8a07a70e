"""Tasks made of scikit-learn's digits (turned images, other labels, fewer training images), and small transformers.

Splits are over images, as in the demo: an image of one split is in no other, of whatever task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.suite.setting import Definition, Setting, kept
from benchmarks.suite.settings.digit_images import ImageSource, LabelledImages, bundled_digits
from paretomerge import Problem, TrainingRecipe, finetune
from paretomerge.demo.digits import BATCH_SIZE
from paretomerge.demo.trainings import FINETUNING, PRETRAINING
from paretomerge.demo.vit import SmallViT
from paretomerge.types import Batch, Params, Split

DIGITS = tuple(range(10))
SMOKE_SIZE = 20
"""Images per split of smoke versions."""


@dataclass(frozen=True)
class DigitTask:
    """What one task makes of the digits.

    Args:
        name: of the task.
        quarters: turned counterclockwise by so many quarters, after mirroring.
        mirrored: left and right swapped.
        inverted: bright for dark. Images are standardised, so this is a sign.
        labels: of each digit, what the task calls it.
        training: training images, the first of the split; all when `None`. Validation and test are whole.
    """

    name: str
    quarters: int = 0
    mirrored: bool = False
    inverted: bool = False
    labels: tuple[int, ...] = DIGITS
    training: int | None = None

    def images(self, upright: Tensor) -> Tensor:
        """`[n, 8, 8]`, as the task shows them."""
        turned = torch.rot90(upright.flip(2) if self.mirrored else upright, self.quarters, (1, 2))
        return (-turned if self.inverted else turned).contiguous()


@dataclass(frozen=True, eq=False)
class SmallImages:
    """A setting of digit tasks under one shared head.

    Args:
        name: of the setting.
        about: one sentence for the tables.
        tasks: what they see, and call it.
        weights: `[K, T]`, jointly finetuned.
        seeds: those that are reported.
        methods: names of method groups.
        repeats: joint grids, the first of which is the truth.
        width: of the transformer; 48 is the demo's.
        recipe: of finetuning.
        pretraining: of the weak base, on a small part of the images that no split has.
        taught: what the base has seen, at equal weights; the tasks themselves if empty.
        images: `(seed, assets) →` part → upright images `[n, 8, 8]` and digits `[n]`.
        facts: what belongs into the results, beside the sizes.
    """

    name: str
    about: str
    tasks: tuple[DigitTask, ...]
    weights: np.ndarray
    seeds: tuple[int, ...]
    methods: tuple[str, ...]
    repeats: int = 2
    width: int = 48
    recipe: TrainingRecipe = FINETUNING
    pretraining: TrainingRecipe = PRETRAINING
    taught: tuple[DigitTask, ...] = ()
    images: ImageSource = bundled_digits
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def definition(self) -> Definition:
        """For the list of settings."""
        return Definition(self.name, self.build, self.seeds, self.methods, self.about)

    def build(self, folder: Path, assets: Path, seed: int, smoke: bool = False) -> Setting:
        """The setting with this seed; the base is trained where it is missing."""
        images = self.images(seed, assets)
        problem = digit_problem(self.tasks, images, self.width, SMOKE_SIZE if smoke else None)
        base = kept(folder / "base", partial(self._base, images, seed, smoke))
        weights = self.weights[:2] if smoke else self.weights
        return Setting(
            self.name,
            seed,
            folder,
            problem,
            base,
            replace(self.recipe, steps=4) if smoke else self.recipe,
            weights,
            repeated=1 if smoke else len(weights),
            repeats=2 if smoke else self.repeats,
            examples=10 if smoke else 200,
            first_seed=10 * seed + 1,
            facts={
                "training": {task.name: problem.count_examples(task.name, "training") for task in self.tasks},
                "parameters": sum(tensor.numel() for tensor in base.values()),
                "width": self.width,
                **self.facts,
            },
        )

    def _base(self, images: LabelledImages, seed: int, smoke: bool) -> Params:
        """A weak model of what is taught."""
        parts = {"training": images["pretraining"]}
        problem = digit_problem([replace(task, training=None) for task in self.taught or self.tasks], parts, self.width)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            start = problem.build().state_dict()
        recipe = replace(self.pretraining, steps=4) if smoke else self.pretraining
        uniform = dict.fromkeys(problem.tasks, 1 / len(problem.tasks))
        return finetune(problem, start, uniform, recipe, seed).params


def digit_problem(
    tasks: Sequence[DigitTask], images: LabelledImages, width: int = 48, most: int | None = None
) -> Problem:
    """Digit tasks over one division of the images.

    Args:
        tasks: the tasks.
        images: part → upright images and digits.
        width: of the transformer.
        most: images per split; all when `None`.
    """
    known = {task.name: task for task in tasks}

    @cache
    def data(task: str, split: Split) -> list[Batch]:
        return task_batches(known[task], split, images[split], most)

    return Problem(tuple(known), partial(SmallViT, width), data)


def task_batches(task: DigitTask, split: Split, images: tuple[Tensor, Tensor], most: int | None = None) -> list[Batch]:
    """One task's images and labels of one split."""
    upright, digits = images
    limits = [most, task.training if split == "training" else None]
    count = min([len(digits), *(limit for limit in limits if limit is not None)])
    shown, labels = task.images(upright[:count]), torch.tensor(task.labels)[digits[:count]]
    return list(zip(shown.split(BATCH_SIZE), labels.split(BATCH_SIZE), strict=True))
