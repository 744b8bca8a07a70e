"""A convolutional network with batch normalisation, on the tasks of `images`.

Steps draw from the tasks in proportion to their weights, so that the running statistics of a joint training are those
of the weighted mixture. Merged models have theirs estimated again on the same mixture of training images, where that
lowers the weighted validation loss: it helps averages, while fits that held statistics still have already corrected
for the ones they saw.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.suite.models import SmallCNN
from benchmarks.suite.setting import Definition, Setting
from benchmarks.suite.settings.image_tasks import four_task_setting
from paretomerge import TrainingRecipe, refresh_statistics
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.stages.fitting.previews import weighted_loss
from paretomerge.types import Params, Problem

PRETRAINING = TrainingRecipe(steps=200, examples_per_task=32, learning_rate=2e-3, device="cpu")
FINETUNING = TrainingRecipe(steps=300, examples_per_task=8, learning_rate=3e-4, mix="proportional", device="cpu")
STATISTICS_EXAMPLES = 150
"""Training images per task that statistics are estimated on."""


def build(folder: Path, assets: Path, seed: int, smoke: bool = False) -> Setting:
    """The convolutional network on the four tasks."""
    recipes = (PRETRAINING, FINETUNING)
    return four_task_setting("images-cnn", SmallCNN, recipes, folder, assets, seed, smoke, refreshing)


def refreshing(problem: Problem) -> Callable[[Params, np.ndarray], Params]:
    """What merged models need: `with_statistics`, judged on the validation split."""
    return partial(with_statistics, problem, SupervisedEvaluator(problem, "validation"))


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

    def loss(found: Params) -> float:
        total = weighted_loss(evaluator, found, dict.fromkeys(problem.tasks, found), shares)
        return total if np.isfinite(total) else np.inf

    return min(refreshed, params, key=loss)


DEFINITION = Definition(
    "images-cnn",
    build,
    (0, 1, 2),
    ("classic", "posteriors", "searches"),
    "the tasks of images; a convolutional network of 29 thousand parameters with batch normalisation",
)
