"""`choose`: one point of the run's front, by a stated rule.

A run has up to two fronts: the one of its merged models, and, once `verify` has trained some weightings, the same
weightings as previews of joint finetuning, recalibrated by what was trained. A choice on either stands for its weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from paretomerge.choices import Choice, ChoiceRule, choose
from paretomerge.errors import InputError, nearest
from paretomerge.fronts import FrontUncertainty
from paretomerge.recipes import digest_recipe
from paretomerge.stages.front import estimate_run_front
from paretomerge.stages.scoring.models import Progress, silent
from paretomerge.stages.study import Study
from paretomerge.types import Front, FrontPoint

CHOSEN = "chosen"
FrontKind = Literal["merged", "joint"]
_FACTS: dict[FrontKind, str] = {"merged": "front", "joint": "joint_front"}
_UNCERTAINTIES: dict[FrontKind, str] = {"merged": "uncertainty", "joint": "joint_uncertainty"}
_NOT_CHOSEN = "no point of this front was chosen yet: run  paretomerge choose RUN --knee  (or --weights, --at-least)"


def front_of(study: Study, progress: Progress = silent, *, of: FrontKind = "merged") -> Front:
    """One of the run's fronts.

    The one of merged models is estimated when there is none, or when the recipe has changed since.

    Raises:
        InputError: the joint front is asked for, and nothing was verified yet.
    """
    found = stored_front(study, of)
    if found is not None:
        return found
    if of == "joint":
        raise InputError(
            "there is no joint front yet: paretomerge verify RUN --points 3 trains a few weightings and recalibrates "
            "the front as a preview of joint finetuning"
        )
    return estimate_run_front(study, progress).front


def uncertainty_of(study: Study, front: Front, *, of: FrontKind = "merged") -> FrontUncertainty | None:
    """What is stored about the uncertainty of one of the run's fronts; `None` if nothing fits it."""
    with study.folder.open_journal() as journal:
        stored = journal.fact(_UNCERTAINTIES[of])
    if stored is None:
        return None
    found = FrontUncertainty.from_dict(stored)
    return found if len(found) == len(front) and found.objectives == front.objectives else None


def chosen_id(study: Study, *, of: FrontKind = "merged") -> int | None:
    """The number that the run's chosen weights have on one of its fronts; `None` when they are not on it."""
    chosen, front = _chosen(study), stored_front(study, of)
    return None if chosen is None or front is None else chosen.row(front, of)


def choose_point(study: Study, rule: ChoiceRule, progress: Progress = silent, *, of: FrontKind = "merged") -> Choice:
    """Choose a point of the run's front by a rule, and remember it as the run's choice.

    Args:
        study: the run.
        rule: the preference.
        progress: called with short messages.
        of: which front: that of merged models, or that of joint finetuning, which `verify` stores.

    Raises:
        InfeasibleError: no point fulfils the wish.
        InputError: the joint front is asked for, and nothing was verified yet.
    """
    front = front_of(study, progress, of=of)
    choice = choose(front, rule, uncertainty_of(study, front, of=of))
    fact = {
        "recipe": digest_recipe(study.recipe),
        "of": of,
        "point": choice.point.id,
        "weights": front.weights[choice.point.id].tolist(),
        "rule": choice.rule,
    }
    with study.folder.open_journal() as journal:
        journal.note("choice", fact)
    return choice


def point_of(
    study: Study, identifier: str | int, progress: Progress = silent, *, of: FrontKind | None = None
) -> FrontPoint:
    """A point of the run's front by its number, or the chosen one by the word `chosen`.

    Args:
        study: the run.
        identifier: a number, or `chosen`.
        progress: called with short messages.
        of: which front; when not given, the merged models' for a number, and for `chosen` the one it was chosen on.

    Raises:
        InputError: no such point, or nothing chosen yet.
    """
    if identifier == CHOSEN:
        chosen = _chosen(study)
        kind = of or (chosen.of if chosen else "merged")
        front = front_of(study, progress, of=kind)
        row = None if chosen is None else chosen.row(front, kind)
        if row is None:
            raise InputError(_NOT_CHOSEN)
        return front[row]
    front = front_of(study, progress, of=of or "merged")
    try:
        number = int(identifier)
        if not 0 <= number < len(front):
            raise IndexError
        return front[number]
    except (ValueError, IndexError) as error:
        raise InputError(
            f"the front has the points 0 to {len(front) - 1} and {CHOSEN!r}, not {identifier!r}"
        ) from error


def resolve_names(front: Front, wishes: Mapping[str, float]) -> dict[str, float]:
    """Wishes by objective name; a task's name stands for its only objective on the front.

    Raises:
        InputError: a name that is neither a task nor an objective, or two names of the same objective.

    >>> from paretomerge.types import Objective
    >>> front = Front(("a",), [[1.0]], [[0.5]], [[0.0]], (Objective("loss[a]", task="a"),), [1.0], ("merged",))
    >>> resolve_names(front, {"a": 0.3})
    {'loss[a]': 0.3}
    """
    found: dict[str, float] = {}
    for given, name in zip(wishes, resolve_each(front, wishes), strict=True):
        if name in found:
            raise InputError(f"{given!r} and another name both stand for {name!r}: one wish for each objective")
        found[name] = wishes[given]
    return found


def resolve_each(front: Front, names: Iterable[str]) -> list[str]:
    """Names of objectives; a task's name stands for its only objective on the front.

    Raises:
        InputError: a name that is neither a task nor an objective.
    """
    by_task: dict[str, list[str]] = {}
    for objective in front.objectives:
        by_task.setdefault(objective.task, []).append(objective.name)
    known = dict.fromkeys([*by_task, *(objective.name for objective in front.objectives)])
    found = []
    for name in names:
        if name not in known:
            raise InputError(f"unknown task or objective {name!r}{nearest(name, known)}: one of {', '.join(known)}")
        found.append(by_task[name][0] if len(by_task.get(name, ())) == 1 else name)
    return found


@dataclass(frozen=True)
class _Chosen:
    """The stored choice: weights on one of the fronts; runs of older versions know only the number."""

    of: FrontKind
    point: int
    weights: tuple[float, ...] | None

    @classmethod
    def read(cls, fact: Mapping[str, Any]) -> _Chosen:
        weights = tuple(fact["weights"]) if "weights" in fact else None
        return cls(fact.get("of", "merged"), int(fact["point"]), weights)

    def row(self, front: Front, of: FrontKind) -> int | None:
        """The number of the chosen weights on a front, which may have changed since; `None` if they are not on it."""
        if self.weights is None:
            return self.point if of == self.of and self.point < len(front) else None
        if len(self.weights) != front.weights.shape[1]:
            return None
        distance = np.abs(front.weights - np.array(self.weights)).max(axis=1)
        return int(distance.argmin()) if distance.min() <= 1e-9 else None


def _chosen(study: Study) -> _Chosen | None:
    with study.folder.open_journal() as journal:
        fact = journal.fact("choice")
    return _Chosen.read(fact) if fact and fact.get("recipe") == digest_recipe(study.recipe) else None


def stored_front(study: Study, of: FrontKind) -> Front | None:
    """One of the run's fronts as it is stored; `None` when there is none, or the recipe has changed since."""
    with study.folder.open_journal() as journal:
        stored = journal.fact(_FACTS[of])
    current = stored is not None and stored.get("recipe") == digest_recipe(study.recipe)
    return Front.from_dict(stored) if current else None
