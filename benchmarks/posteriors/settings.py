"""The two settings: trained models, the truth they are held against, and the noise of that truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from benchmarks.suite.curvature_error import Truth

from paretomerge import Problem, Scores, TrainingRecipe, evaluate, finetune
from paretomerge.checkpoints import write_params
from paretomerge.demo.digits import TASKS as DIGITS
from paretomerge.demo.digits import digits_problem
from paretomerge.demo.trainings import FINETUNING, grid, load, pretrain
from paretomerge.evaluation import SupervisedEvaluator, supervised_objectives
from paretomerge.types import Params

HELD_OUT = {"validation": 100, "test": 325}
"""Sentences per domain that choices and errors are measured on: MiniLM is slow on a processor."""

SENTIMENT_JOINT = np.array([[8, 8, 8], [12, 6, 6], [6, 12, 6], [6, 6, 12], [16, 4, 4], [4, 16, 4], [4, 4, 16]]) / 24


@dataclass(frozen=True, eq=False)
class Setting:
    """One seed of one setting: base and finetunes, and joint finetuning at `weights` as the truth.

    `again` are the joint finetunes at the first weightings with another seed: the noise floor.
    """

    name: str
    seed: int
    folder: Path
    problem: Problem
    base: Params
    finetunes: Mapping[str, Params]
    weights: np.ndarray
    joint: Sequence[Params]
    again: Sequence[Params]
    examples: int
    train: Callable[[Path, np.ndarray, int, TrainingRecipe], Params]
    recipe: TrainingRecipe
    first_seed: int

    @cached_property
    def evaluator(self) -> SupervisedEvaluator:
        """On test data."""
        return SupervisedEvaluator(self.problem, "test")

    def score(self, models: Sequence[Params], weights: np.ndarray | None = None) -> Scores:
        """Test losses and accuracies."""
        rows = self.weights[: len(models)] if weights is None else weights
        return evaluate(models, rows, self.evaluator, supervised_objectives(self.problem), tasks=self.problem.tasks)

    @cached_property
    def truth(self) -> Scores:
        """Scores of joint finetuning."""
        return self.score(self.joint)

    @cached_property
    def floor(self) -> Scores:
        """Scores of joint finetuning with another seed, at the first weightings."""
        return self.score(self.again)

    @cached_property
    def true_curvature(self) -> Truth:
        """What posteriors' curvatures are held against."""
        return Truth.of(self.problem, self.base, self.finetunes)

    def runs(self, count: int, recipe: TrainingRecipe | None = None, kind: str = "runs") -> dict[str, list[Params]]:
        """`count` finetunes of every task with different seeds; without a recipe the first is the setting's own."""
        found: dict[str, list[Params]] = {}
        for task, row in zip(self.problem.tasks, np.eye(len(self.problem.tasks)), strict=True):
            own = [self.finetunes[task]] if recipe is None else []
            more = range(len(own), count)
            found[task] = own + [
                self.train(self.folder / kind / f"{task}-{k}", row, self.first_seed + 100 * k, recipe or self.recipe)
                for k in more
            ]
        return found


def digits(out: Path, seed: int) -> Setting:
    """The demo's tasks: digits upright, rotated and mirrored, with one shared head."""
    folder = out / "digits" / f"seed{seed}"
    problem = digits_problem({DIGITS[0]: f"seed={seed}"})
    pretrain(folder / "checkpoints" / "base", seed)
    base = load(folder / "checkpoints" / "base")
    train = trainer(problem, base)
    first = 10 * seed + 1

    def joint(row: np.ndarray, repeat: int) -> Params:
        place = folder / "joint" / f"seed{repeat}" / "-".join(f"{weight:.3f}" for weight in row)
        return train(place, row, first + repeat, FINETUNING)

    finetunes = {
        task: train(folder / "checkpoints" / task, row, first, FINETUNING)
        for task, row in zip(DIGITS, np.eye(3), strict=True)
    }
    truth, again = ([joint(row, repeat) for row in grid()] for repeat in (0, 1))
    return Setting(
        "digits", seed, folder, problem, base, finetunes, grid(), truth, again, 200, train, FINETUNING, first
    )


def sentiment(out: Path, seed: int) -> Setting:
    """MiniLM on movie reviews, Amazon reviews and tweets, with one shared head."""
    from benchmarks.sentiment_example import RECIPE, TASKS, fetch, load_texts, probed_base, sentiment_problem

    folder = out / "sentiment" / f"seed{seed}"
    model, texts = fetch(out / "sentiment" / "assets")
    found = load_texts(texts, 20240 + seed)
    for splits in found.values():
        for split, count in HELD_OUT.items():
            splits[split] = replace(
                splits[split], texts=splits[split].texts[:count], labels=splits[split].labels[:count]
            )
    problem = sentiment_problem(model, found)
    if not (folder / "base").exists():
        write_params(folder / "base", probed_base(problem))
    base = load(folder / "base")
    train = trainer(problem, base)

    def joint(row: np.ndarray, repeat: int) -> Params:
        place = folder / ("again" if repeat else "joint") / "-".join(f"{24 * weight:.0f}" for weight in row)
        return train(place, row, 10 * seed + repeat, RECIPE)

    finetunes = {
        task: train(folder / "single" / task, row, 10 * seed, RECIPE)
        for task, row in zip(TASKS, np.eye(3), strict=True)
    }
    truth = [joint(row, 0) for row in SENTIMENT_JOINT]
    again = [joint(row, 1) for row in SENTIMENT_JOINT[:3]]
    return Setting(
        "sentiment",
        seed,
        folder,
        problem,
        base,
        finetunes,
        SENTIMENT_JOINT,
        truth,
        again,
        150,
        train,
        RECIPE,
        10 * seed,
    )


SETTINGS: dict[str, Callable[[Path, int], Setting]] = {"digits": digits, "sentiment": sentiment}


def trainer(problem: Problem, base: Params) -> Callable[[Path, np.ndarray, int, TrainingRecipe], Params]:
    """Finetunes with given weights, or reads back what an earlier sitting has trained."""

    def train(place: Path, row: np.ndarray, seed: int, recipe: TrainingRecipe) -> Params:
        if not place.exists():
            print(f"training {place}", flush=True)
            alpha = dict(zip(problem.tasks, row.tolist(), strict=True))
            write_params(place, finetune(problem, base, alpha, recipe, seed).params)
        return load(place)

    return train
