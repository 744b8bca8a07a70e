"""A convolutional network with batch normalisation, on the tasks of `images`.

Steps draw from the tasks in proportion to their weights, so that the running statistics of a joint training are those
of the weighted mixture. Merged models have theirs estimated again on the same mixture of training images, where that
lowers the weighted validation loss: it helps averages, while fits that held statistics still have already corrected
for the ones they saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
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
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.types import Params, Problem

PRETRAINING = TrainingRecipe(steps=200, examples_per_task=32, learning_rate=2e-3, device="cpu")
FINETUNING = TrainingRecipe(steps=300, examples_per_task=8, learning_rate=3e-4, mix="proportional", device="cpu")
INTERIOR = 11
STATISTICS_EXAMPLES = 150
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
        finish=partial(with_statistics, problem, SupervisedEvaluator(problem, "validation")),
        first_seed=10 * seed + 1,
        facts={"images per task": asdict(sizes), "parameters": sum(tensor.numel() for tensor in base.values())},
    )


def with_statistics(problem: Problem, evaluator: SupervisedEvaluator, params: Params, weights: np.ndarray) -> Params:
    """Statistics of the mixture or those that were there, whichever the validation split finds better.

    Args:
        problem: model and data.
        evaluator: of the validation split.
        params: of a merged model.
        weights: coefficients off the simplex count by their positive shares, evenly where none is positive.
    """
    shares = np.clip(weights, 0, None)
    shares = shares / shares.sum() if shares.sum() > 0 else np.full(len(shares), 1 / len(shares))
    alpha = dict(zip(problem.tasks, shares.tolist(), strict=True))
    refreshed = refresh_statistics(problem, params, alpha, examples=STATISTICS_EXAMPLES)
    return min(refreshed, params, key=partial(weighted_loss, evaluator, alpha))


def weighted_loss(evaluator: SupervisedEvaluator, alpha: Mapping[str, float], params: Params) -> float:
    """`Σ_t α_t · mean loss of task t`; infinite rather than undefined."""
    losses = {task: float(evaluator(params, task)["loss"].mean()) for task, weight in alpha.items() if weight > 0}
    total = sum(alpha[task] * loss for task, loss in losses.items())
    return total if np.isfinite(total) else np.inf


DEFINITION = Definition(
    "images-cnn",
    build,
    (0, 1, 2),
    ("classic", "posteriors", "searches"),
    "the tasks of images; a convolutional network of 29 thousand parameters with batch normalisation",
)
