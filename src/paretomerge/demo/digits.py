"""Three tasks that truly conflict: scikit-learn's digits upright, rotated by 90° and mirrored, one shared head.

A 6 upright is a 9 rotated twice, a mirrored 2 looks like a 5: what one task learns about a shape is wrong for
another. Splits are over images, so a test image was never seen in any orientation.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor

from paretomerge.demo.vit import SmallViT
from paretomerge.errors import MissingExtraError
from paretomerge.types import Batch, Problem, Split

TASKS = ("upright", "rotated", "mirrored")
SIZES = {"pretraining": 297, "training": 700, "validation": 300, "test": 500}
BATCH_SIZE = 100


def digits_problem(options: Mapping[str, str] | None = None) -> Problem:
    """The three digit tasks.

    Args:
        options: task → `"seed=N"`, as a recipe's `data:` gives it: which images belong to which split.
    """
    words = next(iter((options or {}).values()), "seed=0")
    seed = int(words.partition("=")[2])

    def data(task: str, split: Split) -> list[Batch]:
        return batches_of(seed, split, task)

    return Problem(TASKS, SmallViT, data)


def pretraining_problem(seed: int) -> Problem:
    """All orientations of a small part of the images, from which a weak base model is trained."""
    return Problem(TASKS, SmallViT, lambda task, split: batches_of(seed, "pretraining", task))


@cache
def batches_of(seed: int, part: str, task: str) -> list[Batch]:
    """The batches of one task and part of the images."""
    images, labels = _images(seed)[part]
    turned = {
        "upright": images,
        "rotated": torch.rot90(images, 1, (1, 2)),
        "mirrored": images.flip(2),
    }[task].contiguous()
    return list(zip(turned.split(BATCH_SIZE), labels.split(BATCH_SIZE), strict=True))


@cache
def _images(seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """The parts of the data set: images `[n, 8, 8]`, standardised with the pretraining part's moments; labels."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtraError.of("scikit-learn", "demo") from error
    bundled = load_digits()
    images = torch.tensor(bundled.images, dtype=torch.float32) / 16
    labels = torch.tensor(bundled.target, dtype=torch.long)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1000 + seed))
    parts, start = {}, 0
    for part, size in SIZES.items():
        chosen = order[start : start + size]
        parts[part] = (images[chosen], labels[chosen])
        start += size
    known = parts["pretraining"][0]
    mean, spread = known.mean(), known.std()
    return {part: ((images - mean) / spread, labels) for part, (images, labels) in parts.items()}
