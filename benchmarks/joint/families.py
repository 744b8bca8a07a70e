"""The finetunes that diagnoses are tried on, the truth they are held against, and ways to preview it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.posteriors.settings import SETTINGS, Setting, trainer

from paretomerge import (
    Averaging,
    FitDiagonal,
    FitKronecker,
    FitSubspace,
    PosteriorMerge,
    TaskArithmetic,
    TrainingRecipe,
)
from paretomerge.demo.trainings import FINETUNING, load, pretrain
from paretomerge.merging import MergeRule
from paretomerge.types import Params

FAST = replace(FINETUNING, learning_rate=8 * FINETUNING.learning_rate)
EDGES = 0.5 * (1 - np.eye(3))


@dataclass(frozen=True)
class Method:
    """A way to preview: how curvature is measured, what is merged, and the damping (or the scale)."""

    name: str
    fit: Any
    rule: MergeRule = field(default_factory=PosteriorMerge)
    strength: float = 0.1


METHODS = (
    Method("averaging", FitDiagonal(examples=200), Averaging()),
    Method("task arithmetic × 1.5", FitDiagonal(examples=200), TaskArithmetic(1.5), 1.5),
    Method("task arithmetic × 2", FitDiagonal(examples=200), TaskArithmetic(2.0), 2.0),
    Method("diagonal, finetune", FitDiagonal(examples=200)),
    Method("diagonal, average", FitDiagonal(examples=200, location="average")),
    Method("diagonal, centred, damping 1", FitDiagonal(examples=200, location="centred"), strength=1.0),
    Method("diagonal, centred, damping 100", FitDiagonal(examples=200, location="centred"), strength=100.0),
    Method("EKFAC, finetune", FitKronecker(examples=200)),
    Method("subspace, model, finetune", FitSubspace("model", "finetune", examples=200)),
    Method("subspace, layers, finetune", FitSubspace("layer", "finetune", examples=200)),
    Method("subspace, tensors, finetune", FitSubspace("tensor", "finetune", examples=200)),
    Method(
        "subspace, tensors, finetune, damping 0.001", FitSubspace("tensor", "finetune", examples=200), strength=1e-3
    ),
    Method("subspace, model, centred", FitSubspace("model", "centred", "none", 1, examples=200)),
    Method("subspace, layers, centred", FitSubspace("layer", "centred", "none", 1, examples=200)),
    Method(
        "subspace, layers, centred, 25 examples, damping 0.01",
        FitSubspace("layer", "centred", "none", 1, examples=25, gradient_examples=25),
        strength=0.01,
    ),
    Method(
        "subspace, layers, enriched, one centre", FitSubspace("layer", "centred", "scaled_gradient", 1, examples=200)
    ),
    Method("default", FitSubspace(examples=200)),
    Method("default, damping 0.001", FitSubspace(examples=200), strength=1e-3),
)
FEW = ("averaging", "diagonal, finetune", "subspace, layers, finetune", "subspace, layers, centred", "default")


@dataclass(frozen=True, eq=False)
class Family:
    """Base and finetunes of one seed, and joint finetunes at `weights` as the truth (corners: the finetunes)."""

    setting: Setting
    base: Params
    finetunes: Mapping[str, Params]
    weights: np.ndarray
    joint: Sequence[Params]
    methods: tuple[Method, ...]
    recipe: TrainingRecipe = FINETUNING


def plain(out: Path, seed: int) -> Family:
    """The posteriors' own benchmark, and its corners."""
    setting = SETTINGS["digits"](out, seed)
    tunes = setting.finetunes
    return Family(
        setting,
        setting.base,
        tunes,
        np.vstack([setting.weights, np.eye(3)]),
        [*setting.joint, *tunes.values()],
        METHODS,
    )


def fast(out: Path, seed: int) -> Family:
    """The same base, finetuned in larger steps."""
    setting = SETTINGS["digits"](out, seed)
    folder = out / "diagnoses" / "trainings" / f"fast-seed{seed}"
    weights = np.vstack([np.full((1, 3), 1 / 3), EDGES, np.eye(3)])
    joint = [setting.train(folder / f"{row.round(3).tolist()}", row, setting.first_seed, FAST) for row in weights]
    tunes = dict(zip(setting.problem.tasks, joint[4:], strict=True))
    return Family(setting, setting.base, tunes, weights, joint, tuple(m for m in METHODS if m.name in FEW), FAST)


def apart(out: Path, seed: int) -> Family:
    """The last task finetuned from a base that was pretrained from other random numbers."""
    setting = SETTINGS["digits"](out, seed)
    folder = out / "diagnoses" / "trainings" / f"apart-seed{seed}"
    pretrain(folder / "base", 1000 + seed)
    train = trainer(setting.problem, load(folder / "base"))
    last = setting.problem.tasks[-1]
    tune = train(folder / last, np.eye(3)[-1], setting.first_seed, FINETUNING)
    tunes = {**setting.finetunes, last: tune}
    whole = [row for row, weights in enumerate(setting.weights) if weights.min() == 0 or np.ptp(weights) < 1e-9]
    weights = np.vstack([setting.weights[whole], np.eye(3)])
    joint = [*(setting.joint[row] for row in whole), *tunes.values()]
    return Family(setting, setting.base, tunes, weights, joint, tuple(m for m in METHODS if m.name in FEW))


FAMILIES: dict[str, Callable[[Path, int], Family]] = {"plain": plain, "fast": fast, "apart": apart}
