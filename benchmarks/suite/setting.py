"""One seed of one setting: the model, the tasks, the trainings, and joint finetuning as the truth.

Shapes: `K` weightings, `T` tasks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paretomerge import Problem, TrainingRecipe, finetune, open_checkpoint
from paretomerge.checkpoints import write_params
from paretomerge.evaluation import SupervisedEvaluator, supervised_objectives
from paretomerge.posteriors import Grouping
from paretomerge.types import Objective, Params, Split


def unchanged(params: Params, weights: np.ndarray) -> Params:
    """What merged models need before they are scored: nothing."""
    return params


@dataclass(frozen=True, eq=False)
class Setting:
    """Everything methods may know, and the truth they are held against.

    Args:
        name: of the setting, with its variant: `"imbalanced-50"`.
        seed: of the data splits, the base and the trainings.
        folder: where trainings are kept.
        problem: model and data, with splits `training`, `validation` (choices, searches) and `test` (every number).
        base: the pretrained parameters.
        recipe: one for single tasks and joint mixtures, so that a corner of the joint grid is a finetune.
        weights: `[K, T]`, the jointly finetuned weightings; no corners.
        repeated: the first so many of them are trained again with other seeds: the noise floor.
        repeats: joint grids, the first of which is the truth.
        examples: per task, for curvature.
        groups: of subspaces in the default method.
        bfloat16: evaluate and differentiate in mixed precision.
        finish: `(params, weights [T]) → params`, what merged models need before they are scored; batch statistics.
        first_seed: of the trainings; repeats count on from it.
        facts: what belongs into the results: sizes, where data come from, what is small on this machine.
    """

    name: str
    seed: int
    folder: Path
    problem: Problem
    base: Params
    recipe: TrainingRecipe
    weights: np.ndarray
    repeated: int
    repeats: int = 2
    examples: int = 200
    groups: Grouping = "layer"
    bfloat16: bool = False
    finish: Callable[[Params, np.ndarray], Params] = unchanged
    first_seed: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Their names, in the order of the columns of weightings."""
        return self.problem.tasks

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Loss and accuracy of every task."""
        return supervised_objectives(self.problem)

    @cached_property
    def finetunes(self) -> dict[str, Params]:
        """Task → its single finetune."""
        return self.runs(1)[0]

    def runs(self, count: int) -> list[dict[str, Params]]:
        """`count` single finetunes of every task, with different seeds."""
        corners = np.eye(len(self.tasks))
        return [
            {task: self.train(row, repeat) for task, row in zip(self.tasks, corners, strict=True)}
            for repeat in range(count)
        ]

    def joint(self, repeat: int = 0) -> list[Params]:
        """Joint finetunes: all weightings, or of repetitions the first `repeated`."""
        return [self.train(row, repeat) for row in self.repeated_weights(repeat)]

    def repeated_weights(self, repeat: int) -> np.ndarray:
        """The weightings that are trained with this seed."""
        return self.weights if repeat == 0 else self.weights[: self.repeated]

    def train(self, weights: np.ndarray, repeat: int = 0) -> Params:
        """Finetune from the base with weights `[T]`, or read back what an earlier sitting has trained."""
        place = self.place(weights, repeat)
        if not place.exists():
            shown = "-".join(f"{weight:.3g}" for weight in weights)
            print(f"{self.name} seed {self.seed}: training {shown}, repeat {repeat}", flush=True)
            alpha = dict(zip(self.tasks, np.asarray(weights, dtype=float).tolist(), strict=True))
            started = time.process_time()
            found = finetune(self.problem, self.base, alpha, self.recipe, self.first_seed + repeat)
            cost = {**asdict(found.ledger), "core_seconds": time.process_time() - started}
            write_params(place, found.params, manifest={"kind": "finetuned", "weights": alpha, "cost": cost})
        return load(place)

    def place(self, weights: np.ndarray, repeat: int) -> Path:
        """Where a training is kept."""
        return self.folder / "trained" / f"repeat{repeat}" / "-".join(f"{weight:.3f}" for weight in weights)

    def training_cost(self, rows: np.ndarray, repeat: int = 0) -> dict[str, float]:
        """Summed cost of trainings that are there: trainings, gradient passes, core-seconds."""
        found = [manifest(self.place(row, repeat))["cost"] for row in rows]
        passes, seconds = (sum(cost[name] for cost in found) for name in ("gradient_passes", "core_seconds"))
        return {"trainings": len(found), "gradient_passes": passes, "core_seconds": seconds}

    def evaluator(self, split: Split = "test") -> SupervisedEvaluator:
        """Per-example loss and accuracy."""
        return SupervisedEvaluator(self.problem, split)

    def precision(self) -> AbstractContextManager[Any]:
        """What forward passes of curvature and evaluation run in.

        Without the cache of cast weights: it would not notice that a model is overwritten by the next one.
        """
        if not self.bfloat16:
            return nullcontext()
        return torch.autocast("cpu", torch.bfloat16, cache_enabled=False)


@dataclass(frozen=True)
class Definition:
    """A setting before its seed is known.

    Args:
        name: as `python -m benchmarks.suite NAME` and `make bench-NAME` know it.
        build: `(folder, assets, seed, smoke) → Setting`. `assets` is where packages with models and data are kept.
            Smoke versions are as small as still runs through everything, for tests.
        seeds: those that are reported.
        methods: names of method groups, see `benchmarks.suite.methods`.
        about: one sentence for the tables.
    """

    name: str
    build: Callable[[Path, Path, int, bool], Setting]
    seeds: tuple[int, ...]
    methods: tuple[str, ...]
    about: str


def load(folder: Path) -> Params:
    """A checkpoint read into memory."""
    checkpoint = open_checkpoint(folder)
    return {name: checkpoint[name] for name in checkpoint}


def kept(folder: Path, make: Callable[[], Params]) -> Params:
    """Parameters from a folder, made and written there first if it is missing."""
    if not folder.exists():
        write_params(folder, make(), manifest={"kind": "pretrained"})
    return load(folder)


def manifest(folder: Path) -> dict[str, Any]:
    """What was noted beside a checkpoint."""
    return json.loads((folder / "paretomerge.json").read_text())
