"""A vision transformer on digits, clothes, rotated digits and mirrored clothes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from benchmarks.suite.models import ImageViT
from benchmarks.suite.setting import Definition, Setting, kept
from benchmarks.suite.settings.image_tasks import (
    SMOKE,
    Sizes,
    four_task_weights,
    image_problem,
    image_splits,
    pretrained,
    shortened,
)
from paretomerge import TrainingRecipe

PRETRAINING = TrainingRecipe(steps=400, examples_per_task=32, learning_rate=1e-3, device="cpu")
FINETUNING = TrainingRecipe(steps=300, examples_per_task=8, learning_rate=4e-4, device="cpu")
INTERIOR = 11
"""Weightings that give every task some weight; they are repeated with other seeds."""


def build(folder: Path, assets: Path, seed: int, smoke: bool = False) -> Setting:
    """Four tasks, a weak base of our own, three seeds of the joint weightings."""
    sizes = SMOKE if smoke else Sizes()
    problem = image_problem(ImageViT, image_splits(assets, seed, sizes))
    base = kept(folder / "base", lambda: pretrained(problem, shortened(PRETRAINING, smoke), seed))
    weights = four_task_weights()
    return Setting(
        "images",
        seed,
        folder,
        problem,
        base,
        shortened(FINETUNING, smoke),
        weights[:2] if smoke else weights,
        repeated=1 if smoke else INTERIOR,
        repeats=2 if smoke else 3,
        examples=20 if smoke else 200,
        first_seed=10 * seed + 1,
        facts={"images per task": asdict(sizes), "parameters": sum(tensor.numel() for tensor in base.values())},
    )


DEFINITION = Definition(
    "images",
    build,
    (0, 1, 2),
    ("classic", "posteriors", "anchored", "mixtures", "steps", "ablations", "searches", "peers"),
    "MNIST, Fashion-MNIST, rotated MNIST and mirrored Fashion-MNIST; one head, a ViT of 139 thousand parameters",
)
