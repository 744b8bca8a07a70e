"""The one choice that a method leaves open (a scale, a density, a damping), made on validation data.

Fair and equal: every rule has six candidates, and each is merged and scored at the same few weightings. What was found
is kept beside the trainings, so that another implementation of the same rule takes the same setting; it is charged for
the choice as if it had made it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.suite.methods.base import Stopwatch
from benchmarks.suite.recording import slug
from benchmarks.suite.setting import Setting
from paretomerge.checkpoints.atomic import write_text
from paretomerge.errors import FailureError, PosteriorError
from paretomerge.stages.fitting.previews import weighted_loss
from paretomerge.types import Params

Candidate = TypeVar("Candidate")

Settings = Mapping[str, float]
"""A candidate: the rule's arguments."""

MOST_LEANINGS = 4
"""Weightings that lean to one task; with more tasks, to so many of them."""


@dataclass(frozen=True)
class Tuned:
    """A rule's settings, and what choosing them cost.

    Args:
        settings: the candidate that was chosen.
        evaluations: merged models that were scored on validation data.
        core_seconds: of an earlier choice that was read back; 0 where it was made now.
        facts: every candidate and its mean weighted loss.
    """

    settings: Settings
    evaluations: int
    core_seconds: float
    facts: Mapping[str, object]


def tuning_weights(count: int) -> np.ndarray:
    """Equal weights, and half of the weight on one task with the other half shared by all: `[<= 5, T]`."""
    equal = np.full((1, count), 1 / count)
    tasks = np.unique(np.linspace(0, count - 1, min(count, MOST_LEANINGS)).astype(int))
    return np.concatenate([equal, (np.eye(count)[tasks] + equal) / 2])


def tune(
    setting: Setting,
    name: str,
    candidates: Sequence[Settings],
    models: Callable[[Settings, np.ndarray], Iterable[Params]],
) -> Tuned:
    """The candidate whose merges have the least `Σ α_t · validation loss of t`, averaged over the weightings.

    Args:
        setting: whose finetunes are merged, and whose validation data are scored.
        name: of the rule; an earlier choice under this name among the same candidates is read back.
        candidates: in order; of equal ones the first is chosen.
        models: `(candidate, weightings [K, T]) → K merged models`.

    Raises:
        FailureError: no candidate has a finite loss.
    """
    rows = tuning_weights(len(setting.tasks))
    place = setting.folder / "tuned" / f"{slug(name)}.json"
    asked = {"candidates": [dict(each) for each in candidates], "weights": rows.tolist()}
    if (found := _kept(place, asked)) is not None:
        return found
    watch = Stopwatch()
    best, losses = least_loss(setting, name, candidates, models, rows)
    spent = {
        "losses": losses,
        "chosen": best,
        "evaluations": len(candidates) * len(rows),
        "core_seconds": watch.seconds,
    }
    write_text(place, json.dumps({**asked, **spent}, indent=1))
    return Tuned(candidates[best], len(candidates) * len(rows), 0.0, _facts(asked["candidates"], losses))


def least_loss(
    setting: Setting,
    name: str,
    candidates: Sequence[Candidate],
    models: Callable[[Candidate, np.ndarray], Iterable[Params]],
    rows: np.ndarray,
) -> tuple[int, list[float]]:
    """Number of the best candidate, and the mean weighted validation loss of each; arguments as of `tune`."""
    losses = [_mean_loss(setting, f"{name} with {each}", partial(models, each), rows) for each in candidates]
    if not np.isfinite(losses).any():
        raise FailureError(f"{setting.name}: {name} has no finite validation loss with any of {list(candidates)}")
    return int(np.argmin(np.where(np.isfinite(losses), losses, np.inf))), losses


def _mean_loss(
    setting: Setting, name: str, models: Callable[[np.ndarray], Iterable[Params]], rows: np.ndarray
) -> float:
    """Of merged models as they will be recorded, with refreshed statistics where the setting has some.

    Infinite where there is no merge: too little damping for a curvature.
    """
    evaluator = setting.evaluator("validation")
    tasks = dict.fromkeys(setting.tasks, setting.base)
    try:
        found = [
            weighted_loss(evaluator, setting.finish(model, row), tasks, row)
            for model, row in zip(models(rows), rows, strict=True)
        ]
    except PosteriorError as error:
        print(f"{setting.name}: {name}: {error}", flush=True)
        return float("inf")
    return float(np.mean(found))


def _kept(place: Path, asked: Mapping[str, object]) -> Tuned | None:
    """An earlier choice among the same candidates at the same weightings."""
    if not place.exists():
        return None
    found = json.loads(place.read_text(encoding="utf-8"))
    if any(found[name] != value for name, value in asked.items()):
        return None
    candidates = found["candidates"]
    facts = _facts(candidates, found["losses"])
    return Tuned(candidates[found["chosen"]], found["evaluations"], found["core_seconds"], facts)


def _facts(candidates: object, losses: Sequence[float]) -> dict[str, object]:
    return {"candidates": candidates, "validation_losses": list(losses)}
