"""Previews that know one real joint training, at equal weights, and continue from it to all other weightings.

It is trained by the setting's recipe and counted as a whole training; its own row is left out of the errors. Trainings
of one seed draw the same examples in the same order at all weightings, so a run of the truth's own seed shares noise
with the truth: there is a method with a run of another seed, whose difference from the first says how much.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.suite.methods.base import Found, Method
from benchmarks.suite.methods.fits import fit_once
from benchmarks.suite.methods.posteriors import DEFAULT
from benchmarks.suite.methods.previews import merged
from benchmarks.suite.setting import Setting
from paretomerge import FitSubspace
from paretomerge.curvature import Continuation, continue_joint, fade
from paretomerge.merging import merge_coordinates
from paretomerge.stages import PreviewMethod
from paretomerge.types import Ledger, Params

DAMPING = 0.1
"""Chosen on digits seeds 100 and 101, where 0.2 and 0.3 do as well."""
STUDY = "anchored"
MERGED = PreviewMethod(DEFAULT, FitSubspace(), strengths=(FitSubspace().damping,))


def anchored(smoke: bool) -> list[Method]:
    """From a run of the truth's seed, led to the default's merges at the edges or not, and from one of another seed."""
    return [
        continued("continued from one joint run"),
        continued("continued from one joint run, faded", faded=True),
        continued("continued from one joint run of another seed, faded", faded=True, repeat=1),
    ]


def continued(name: str, faded: bool = False, repeat: int = 0) -> Method:
    """Every weighting by one predictor step from the joint finetune at equal weights.

    Args:
        name: for tables.
        faded: led to the default's merges where a task has little weight, at the cost of their posteriors.
        repeat: the seed of the joint run.
    """

    def find(setting: Setting) -> Found:
        equal = np.full(len(setting.tasks), 1 / len(setting.tasks))
        with torch.autocast("cpu", enabled=False):  # the recipe says what a training runs in
            joint = setting.train(equal, repeat)
        price = setting.training_cost(equal[None], repeat)
        found = continue_joint(
            setting.problem,
            setting.base,
            setting.finetunes,
            joint,
            equal.tolist(),
            groups=setting.groups,
            damping=DAMPING,
            examples=setting.examples,
        )
        cost = Ledger(trainings=1, gradient_passes=int(price["gradient_passes"])) + found.ledger
        facts: dict[str, Any] = {"strength": DAMPING, "trained_rows": rows_of(setting, equal)}
        models, spent = merges(setting, joint, found), price["core_seconds"]
        if faded:
            begun = merged(setting, MERGED, fit_once(setting, MERGED.fit, keep=True))
            models = map(fade, models, begun.preview.models, setting.weights.tolist())
            cost, spent = cost + begun.preview.ledger, spent + begun.fitted.core_seconds
        return Found(setting.weights, models, cost, facts, spent)

    factors = {"family": "subspace", "study": STUDY, "faded": faded, "repeat": repeat}
    return Method(name, find, factors=factors)


def merges(setting: Setting, joint: Params, found: Continuation) -> Iterator[Params]:
    """The models, one at a time."""
    frame = next(iter(found.posteriors.values()))
    for place in merge_coordinates(found.posteriors, setting.weights):
        yield {**joint, **frame.at(place)}


def rows_of(setting: Setting, weights: np.ndarray) -> list[int]:
    """Where a weighting stands among those of the setting, if it does."""
    return [int(row) for row in np.flatnonzero(np.abs(setting.weights - weights).max(axis=1) < 1e-9)]
