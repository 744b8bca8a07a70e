"""Previews that look once more at every weighting: a few joint training steps, or a Newton step.

A run of `k` joint steps is a whole training of that length, with warm-up and decay of its own, by the setting's recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.suite.methods.base import Found, Method
from benchmarks.suite.methods.fits import fit_once
from benchmarks.suite.methods.posteriors import DEFAULT
from benchmarks.suite.methods.previews import Previewed, factors_of, merged
from benchmarks.suite.setting import Setting
from paretomerge import Averaging, FitDiagonal, FitIsotropic, FitSubspace, TrainingRecipe, finetune, newton_correct
from paretomerge.curvature import FitMethod
from paretomerge.stages import PreviewMethod
from paretomerge.types import Ledger, Params

PERCENT = (2, 5, 10)
STARTS = {
    "merge": PreviewMethod(DEFAULT, FitSubspace(), strengths=(FitSubspace().damping,)),
    "average": PreviewMethod("averaging", FitIsotropic(), Averaging()),
}
CORRECTED: dict[str, FitMethod] = {
    "default, Newton-corrected": FitSubspace(),
    "diagonal, Newton-corrected": FitDiagonal(),
}


def steps(smoke: bool) -> list[Method]:
    """Joint steps from the default's merges and from averages; Newton steps."""
    found = [joint_steps(percent, start) for start in STARTS for percent in (PERCENT[:1] if smoke else PERCENT)]
    corrected = [newton(name, fit) for name, fit in CORRECTED.items()]
    return [*found, *corrected, newton("default, Newton-corrected on all examples", FitSubspace(), whole=True)]


def joint_steps(percent: int, start: str) -> Method:
    """Every merge trained on with its own weights."""
    method = STARTS[start]

    def find(setting: Setting) -> Found:
        begun = merged(setting, method, fit_once(setting, method.fit, keep=True))
        recipe = shortened(setting.recipe, percent)

        def train(model: Params, row: np.ndarray) -> tuple[Params, Ledger]:
            alpha = dict(zip(setting.tasks, row.tolist(), strict=True))
            with torch.autocast("cpu", enabled=False):  # the recipe says what a training runs in
                done = finetune(setting.problem, model, alpha, recipe, setting.first_seed)
            return done.params, replace(done.ledger, trainings=0)

        share = recipe.steps / setting.recipe.steps
        facts = {"steps": recipe.steps, "trainings": share * len(setting.weights), "strength": begun.preview.strength}
        return continued(setting, begun, train, facts)

    factors = {**factors_of(method.fit), "study": "steps", "percent": percent, "start": start}
    return Method(f"{percent} % joint steps from the {start}", find, factors=factors)


def shortened(recipe: TrainingRecipe, percent: int) -> TrainingRecipe:
    """A share of its steps, at least one, and every one of them taken."""
    return replace(recipe, steps=max(1, round(recipe.steps * percent / 100)), check_every=None, patience=None)


def newton(name: str, fit: FitMethod, whole: bool = False) -> Method:
    """Every merge corrected by the gradient there, in the merge's own precision; of the fit's examples, or of all."""
    method = PreviewMethod(name, fit, strengths=(fit.damping,))

    def find(setting: Setting) -> Found:
        begun = merged(setting, method, fit_once(setting, fit, keep=True))
        posteriors = begun.fitted.curvatures.posteriors(begun.preview.strength)
        lengths: list[float] = []

        def correct(model: Params, row: np.ndarray) -> tuple[Params, Ledger]:
            count = None if whole else setting.examples
            done = newton_correct(setting.problem, model, posteriors, row.tolist(), examples=count)
            lengths.append(done.length)
            return done.params, done.ledger

        return continued(setting, begun, correct, {"strength": begun.preview.strength, "lengths": lengths})

    return Method(name, find, factors={**factors_of(fit), "study": "steps", "corrected_by": "Newton", "whole": whole})


def continued(
    setting: Setting,
    begun: Previewed,
    improve: Callable[[Params, np.ndarray], tuple[Params, Ledger]],
    facts: dict[str, Any],
) -> Found:
    """Merges improved one by one, and what all of it cost."""
    models, cost = [], begun.preview.ledger
    for model, row in zip(begun.preview.models, setting.weights, strict=True):
        improved, spent = improve(setting.finish(model, row), row)
        models.append(improved)
        cost = cost + spent
    return Found(setting.weights, models, cost, facts, begun.fitted.core_seconds)
