"""What the page's explorer reads: the fronts one may choose from, each point with what choosing it would mean.

The rules themselves are in `template/choices.js`, the twin of `paretomerge.choices`; intervals and alternatives of
every point are computed here.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from paretomerge.choices.choice import choice_of
from paretomerge.fronts import FrontUncertainty
from paretomerge.reports.data import ReportData
from paretomerge.reports.marks import MARKS, clean, objective_name
from paretomerge.reports.spread import short_numbers
from paretomerge.types import Front, FrontPoint, Objective

MOST_NUMBERS = 12_000
"""Of a front in the page: enough for 800 points of three tasks, and few enough for the page to stay small."""


def chooser_of(data: ReportData, rows: Sequence[int | None]) -> dict[str, Any] | None:
    """Everything the chooser needs; `None` when there is nothing to choose from, or too much for a page.

    Args:
        data: the report.
        rows: where the front's points stand among the page's points; `None` for one that was left out there.
    """
    shown = [objective.name for objective in data.scores.objectives]
    fronts = []
    if data.front is not None and _fits(data.front):
        label = "the front of merged models" if data.joint_front is not None else ""
        fronts.append(_front(data.front, data.uncertainty, rows, label, "", shown))
    if data.joint_front is not None and _fits(data.joint_front):
        label = "the front of joint finetuning, recalibrated by what was verified"
        fronts.append(
            _front(data.joint_front, data.joint_uncertainty, [None] * len(data.joint_front), label, " --joint", shown)
        )
    if not fronts:
        return None
    run = run_word(data)
    return {
        "fronts": fronts,
        "command": f"paretomerge choose {run}",
        "export": f"paretomerge export {run} merged",
        "chosen": _chosen(data),
    }


def run_word(data: ReportData) -> str:
    """The run as a shell takes it; `RUN` where it has no name that can be typed."""
    return shlex.quote(data.run) if data.run and clean(data.run) == data.run else "RUN"


def _fits(front: Front) -> bool:
    return len(front) * (front.weights.shape[1] + 3 * front.values.shape[1]) <= MOST_NUMBERS


def _front(
    front: Front,
    uncertainty: FrontUncertainty | None,
    rows: Sequence[int | None],
    label: str,
    flag: str,
    shown: Sequence[str],
) -> dict[str, Any]:
    choices = [choice_of(front, point, "", uncertainty) for point in range(len(front))]
    names = [objective.name for objective in front.objectives]
    return {
        "label": label,
        "flag": flag,
        "tasks": [clean(task) for task in front.tasks],
        "task_options": [_option(task) for task in front.tasks],
        "objectives": [clean(name) for name in names],
        "columns": [shown.index(name) for name in names],
        "labels": [objective_name(objective) for objective in front.objectives],
        "units": [clean(objective.unit) for objective in front.objectives],
        "options": [_objective_option(front, objective) for objective in front.objectives],
        "lower": [objective.direction == "minimise" for objective in front.objectives],
        "on_simplex": bool(np.allclose(front.weights.sum(axis=1), 1.0, atol=1e-6)),
        "weights": front.weights.tolist(),
        "values": front.values.tolist(),
        "intervals": [[short_numbers(choice.interval[name]) for name in names] for choice in choices],
        "level": choices[0].level,
        "nondominated": None if uncertainty is None else [choice.probability_nondominated for choice in choices],
        "alternatives": [[other.point.id for other in choice.alternatives] for choice in choices],
        "origins": [MARKS[origin].label for origin in front.origin],
        "rows": list(rows),
    }


def _option(name: str) -> str | None:
    """How the command line writes a name in  `a=0.6,b=0.4`; `None` if it cannot."""
    return None if not name or "," in name or name != name.strip() or clean(name) != name else name


def _objective_option(front: Front, objective: Objective) -> str | None:
    """The task where it has no other objective, else the objective's name."""
    tasks = [other.task for other in front.objectives]
    if tasks.count(objective.task) == 1 and _option(objective.task):
        return objective.task
    return None if tasks.count(objective.name) == 1 else _option(objective.name)


def _chosen(data: ReportData) -> dict[str, Any] | None:
    """The run's choice: on which of the fronts, which point, and by which rule."""
    if data.choice is None:
        return None
    for number, front in enumerate(front for front in (data.front, data.joint_front) if front is not None):
        if not _fits(front):
            continue
        point = _find(front, data.choice)
        if point is not None:
            return {"front": number, "point": point, "rule": clean(data.choice_rule)}
    return None


def _find(front: Front, choice: FrontPoint) -> int | None:
    weights = np.array([choice.weights[task] for task in front.tasks])
    distance = np.abs(front.weights - weights).max(axis=1)
    return int(distance.argmin()) if distance.min() <= 1e-9 else None
