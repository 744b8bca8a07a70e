"""What was measured of models, in the journal: one row per model and task, or per part of a task's examples.

Every metric that the evaluator returned is stored, so another choice of objectives measures nothing again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from paretomerge.errors import ParetomergeError
from paretomerge.evaluation import Evaluation, Metrics, Part, in_own_order, join_parts, standard_error
from paretomerge.runs.journal import Journal
from paretomerge.types import Ledger


def recall_tasks(journal: Journal, model: str, tasks: Iterable[str]) -> dict[str, Metrics]:
    """Which of the tasks a model was scored on in full, and its per-example scores there."""
    found = {task: journal.recall(_key(model, task)) for task in tasks}
    return {task: evaluation.examples for task, evaluation in found.items() if evaluation is not None}


def recall_prefix(journal: Journal, model: str, task: str, whole: Part) -> tuple[Part, Metrics] | None:
    """How far along a random order of its examples a model was scored on a task, and the scores in that order.

    Args:
        journal: where.
        model: the model's key.
        task: the task.
        whole: the random order.
    """
    stored = recall_tasks(journal, model, [task]).get(task)
    if stored is not None and all(len(scores) == whole.count for scores in stored.values()):
        return whole, {name: scores[whole.examples] for name, scores in stored.items()}
    parts = [(part, key) for key, text in journal.parts(model, task) if (part := _part(text)) is not None]
    kept = [(part, journal.recall(key)) for part, key in parts if (part.seed, part.count) == (whole.seed, whole.count)]
    return join_parts([(part, evaluation.examples) for part, evaluation in kept if evaluation is not None])


def remember_tasks(
    journal: Journal,
    model: str,
    measured: Mapping[str, Metrics],
    about: Mapping[str, Any],
    parts: Mapping[str, Part] | None = None,
    charge: tuple[str, Ledger] | None = None,
) -> None:
    """Store what was measured of a model, with its cost, in one transaction; the claim on the model ends.

    Args:
        journal: where.
        model: the model's key.
        measured: task → metric → per-example scores.
        about: for people: the stage, the weighting.
        parts: task → which part of its examples the scores are of; the whole task where none is named. When the parts
            of a task are complete, the task is stored as a whole too.
        charge: the stage and its cost.
    """
    rows = []
    for task, metrics in measured.items():
        part = (parts or {}).get(task)
        rows.append((_key(model, task, part), task, None if part is None else str(part), _evaluation(metrics)))
        whole = None if part is None else _completed(journal, model, task, part, metrics)
        if whole is not None:
            rows.append((_key(model, task), task, None, _evaluation(whole)))
    journal.store(model, rows, about, charge)


def _completed(journal: Journal, model: str, task: str, part: Part, metrics: Metrics) -> Metrics | None:
    """The whole task's scores, if this was the last part that was missing."""
    if part.stop < part.count:
        return None
    before = recall_prefix(journal, model, task, Part(0, part.count, part.count, part.seed))
    joined = join_parts([(part, metrics)] if before is None else [before, (part, metrics)])
    return in_own_order(*joined) if joined is not None and joined[0].stop == part.count else None


def _key(model: str, task: str, part: Part | None = None) -> str:
    return json.dumps([model, task] if part is None else [model, task, str(part)])


def _evaluation(metrics: Metrics) -> Evaluation:
    columns = {name: np.asarray(scores, dtype=np.float64) for name, scores in metrics.items()}
    means = [column.mean() for column in columns.values()]
    return Evaluation(np.array(means), np.array([standard_error(column) for column in columns.values()]), columns)


def _part(text: str) -> Part | None:
    """A part that was stored; `None` where nobody can tell which it was, so that it is measured again."""
    try:
        return Part.parse(text)
    except (ValueError, ParetomergeError):
        return None
