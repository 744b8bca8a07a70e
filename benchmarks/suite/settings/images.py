"""A vision transformer on digits, clothes, rotated digits and mirrored clothes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.suite.models import ImageViT
from benchmarks.suite.setting import Definition, Setting
from benchmarks.suite.settings.image_tasks import four_task_setting
from paretomerge import TrainingRecipe

PRETRAINING = TrainingRecipe(steps=400, examples_per_task=32, learning_rate=1e-3, device="cpu")
FINETUNING = TrainingRecipe(steps=300, examples_per_task=8, learning_rate=4e-4, device="cpu")


def build(folder: Path, assets: Path, seed: int, smoke: bool = False) -> Setting:
    """The vision transformer on the four tasks."""
    return four_task_setting("images", ImageViT, (PRETRAINING, FINETUNING), folder, assets, seed, smoke)


DEFINITION = Definition(
    "images",
    build,
    (0, 1, 2),
    ("classic", "posteriors", "anchored", "mixtures", "steps", "ablations", "searches", "peers"),
    "MNIST, Fashion-MNIST, rotated MNIST and mirrored Fashion-MNIST; one head, a ViT of 139 thousand parameters",
)
