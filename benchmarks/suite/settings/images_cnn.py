"""A convolutional network with batch normalisation, on the tasks of `images`.

Steps draw from the tasks in proportion to their weights, so that the running statistics of a joint training are those
of the weighted mixture; merged models get theirs estimated again on the same mixture of training images.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.suite.models import SmallCNN
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
from paretomerge import TrainingRecipe, refresh_statistics
from paretomerge.types import Params, Problem

PRETRAINING = TrainingRecipe(steps=100, examples_per_task=16, learning_rate=1e-3, device="cpu")
FINETUNING = TrainingRecipe(steps=300, examples_per_task=8, learning_rate=5e-4, mix="proportional", device="cpu")
INTERIOR = 11
STATISTICS_EXAMPLES = 300
"""Training images per task that statistics are estimated on."""


def build(folder: Path, assets: Path, seed: int, smoke: bool = False) -> Setting:
    """Four tasks, a weak base of our own, three seeds of the joint weightings."""
    sizes = SMOKE if smoke else Sizes()
    problem = image_problem(SmallCNN, image_splits(assets, seed, sizes))
    base = kept(folder / "base", lambda: pretrained(problem, shortened(PRETRAINING, smoke), seed))
    weights = four_task_weights()
    return Setting(
        "images-cnn",
        seed,
        folder,
        problem,
        base,
        shortened(FINETUNING, smoke),
        weights[:2] if smoke else weights,
        repeated=1 if smoke else INTERIOR,
        repeats=2 if smoke else 3,
        examples=20 if smoke else 200,
        finish=lambda params, row: with_statistics(problem, params, row),
        first_seed=10 * seed + 1,
        facts={"images per task": asdict(sizes), "parameters": sum(tensor.numel() for tensor in base.values())},
    )


def with_statistics(problem: Problem, params: Params, weights: np.ndarray) -> Params:
    """Statistics of the mixture; coefficients off the simplex count by their positive shares, evenly without any."""
    shares = np.clip(weights, 0, None)
    shares = shares / shares.sum() if shares.sum() > 0 else np.full(len(shares), 1 / len(shares))
    alpha = dict(zip(problem.tasks, shares.tolist(), strict=True))
    return refresh_statistics(problem, params, alpha, examples=STATISTICS_EXAMPLES)


DEFINITION = Definition(
    "images-cnn",
    build,
    (0, 1, 2),
    ("classic", "posteriors", "searches"),
    "the tasks of images; a convolutional network of 29 thousand parameters with batch normalisation",
)
