"""A toy dual encoder of images and captions: pretrained contrastively by us, finetuned to pick an image's caption.

Digits and rotated digits share their captions, so that what turns an image towards the caption of a 6 or a 9 is
disputed between two tasks, in both towers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.suite.models import DualEncoder
from benchmarks.suite.setting import Definition, Setting, kept
from benchmarks.suite.settings.image_tasks import (
    SMOKE,
    Labelled,
    Sizes,
    image_splits,
    in_batches,
    pretrained,
    shortened,
)
from paretomerge import TrainingRecipe
from paretomerge.demo.trainings import grid
from paretomerge.types import Batch, Problem, Split

DIGITS = tuple(
    f"the digit {name}" for name in ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
)
CLOTHES = (
    "a t-shirt or top",
    "a pair of trousers",
    "a pullover",
    "a dress",
    "a coat",
    "a pair of sandals",
    "a shirt",
    "a pair of sneakers",
    "a bag",
    "a pair of ankle boots",
)
CAPTIONS: Mapping[str, tuple[str, ...]] = {"digits": DIGITS, "clothes": CLOTHES, "digits-rotated": DIGITS}
PRETRAINING = TrainingRecipe(steps=400, examples_per_task=32, learning_rate=1e-3, device="cpu")
FINETUNING = TrainingRecipe(steps=300, examples_per_task=8, learning_rate=4e-4, device="cpu")


def build(folder: Path, assets: Path, seed: int, smoke: bool = False) -> Setting:
    """Three tasks, a weak base of our own, three seeds of the demo's joint weightings."""
    sizes = SMOKE if smoke else Sizes()
    problem = caption_problem(image_splits(assets, seed, sizes, tuple(CAPTIONS)))
    contrasted = replace(problem, loss_fn=contrastive_loss)
    base = kept(folder / "base", lambda: pretrained(contrasted, shortened(PRETRAINING, smoke), seed))
    return Setting(
        "dual-encoder",
        seed,
        folder,
        problem,
        base,
        shortened(FINETUNING, smoke),
        grid()[:2] if smoke else grid(),
        repeated=1 if smoke else len(grid()),
        repeats=2 if smoke else 3,
        examples=20 if smoke else 200,
        first_seed=10 * seed + 1,
        facts={"images per task": asdict(sizes), "parameters": sum(tensor.numel() for tensor in base.values())},
    )


def caption_problem(splits: Mapping[str, Mapping[str, Labelled]]) -> Problem:
    """Which of its task's ten captions belongs to an image."""
    numbers = vocabulary()
    length = max(len(caption.split()) for captions in CAPTIONS.values() for caption in captions)
    encoded = {
        task: torch.tensor([[*(numbers[word] for word in words), *[0] * (length - len(words))] for words in spoken])
        for task, spoken in ((task, [caption.split() for caption in found]) for task, found in CAPTIONS.items())
    }
    batches = {
        (task, split): [with_captions(batch, encoded[task]) for batch in in_batches(*held)]
        for task, found in splits.items()
        for split, held in found.items()
    }

    def data(task: str, split: Split) -> list[Batch]:
        return batches[task, split]

    return Problem(tuple(CAPTIONS), partial(DualEncoder, 1 + len(numbers), length), data)


def vocabulary() -> dict[str, int]:
    """Word → number; 0 is padding."""
    words = sorted({word for captions in CAPTIONS.values() for caption in captions for word in caption.split()})
    return {word: number for number, word in enumerate(words, start=1)}


def with_captions(batch: Batch, captions: Tensor) -> Batch:
    """Images together with their candidate captions, the same ones for every image of the task."""
    images, labels = batch
    return {"images": images, "captions": captions.expand(len(images), -1, -1)}, labels


def contrastive_loss(module: nn.Module, batch: Batch) -> Tensor:
    """Images must find their captions among those of the batch, and captions their images (as CLIP is trained).

    Images of one class share a caption; all of them are right answers in equal parts.
    """
    assert isinstance(module, DualEncoder)
    inputs, labels = batch
    own = inputs["captions"][torch.arange(len(labels)), labels]
    seen, read = module.embed_images(inputs["images"]), module.embed_captions(own[:, None])[:, 0]
    logits = module.log_scale.exp() * seen @ read.T
    same = (labels[:, None] == labels).to(logits.dtype)
    right = same / same.sum(1, keepdim=True)
    return (nn.functional.cross_entropy(logits, right) + nn.functional.cross_entropy(logits.T, right)) / 2


DEFINITION = Definition(
    "dual-encoder",
    build,
    (0, 1, 2),
    ("classic", "posteriors", "steps", "searches"),
    "images to captions: digits, clothes, rotated digits; two towers, 117 thousand parameters, pretrained by us",
)
