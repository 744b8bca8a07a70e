"""Evaluating models through the journal: what is stored is not measured again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from paretomerge.errors import FailureError
from paretomerge.evaluation import Evaluation, Evaluator, evaluate_one
from paretomerge.runs import Journal
from paretomerge.types import Ledger, Objective, Origin, Params, Scores

Progress = Callable[[str], None]


def silent(message: str) -> None:
    """No progress shown."""


def score_models(
    journal: Journal,
    stage: str,
    keys: Sequence[str],
    weights: np.ndarray,
    build: Callable[[list[int]], Iterable[Params]],
    evaluator: Evaluator,
    objectives: Sequence[Objective],
    tasks: Sequence[str],
    origin: Origin,
    progress: Progress = silent,
) -> Scores:
    """Scores of `N` models, each looked up in the journal first, measured and stored otherwise.

    Args:
        journal: where evaluations are kept.
        stage: the ledger's entry that is charged.
        keys: `[N]`, what each evaluation depends on.
        weights: `[N, T]`.
        build: the numbers of missing models → their parameters, in that order, one at a time.
        evaluator: `(params, task) → per-example scores`.
        objectives: what is read from the scores.
        tasks: the columns of `weights`.
        origin: `"merged"` or `"trained"`.
        progress: called per evaluation.
    """
    found: list[Evaluation | None] = [journal.recall(key) for key in keys]
    missing = [index for index, evaluation in enumerate(found) if evaluation is None]
    started = time.perf_counter()
    for done, (index, params) in enumerate(zip(missing, build(missing) if missing else (), strict=True)):
        progress(f"evaluation {done + 1} of {len(missing)}")
        evaluation = evaluate_one(params, evaluator, objectives)
        about: dict[str, Any] = {"stage": stage, "weights": weights[index].tolist(), "origin": origin}
        journal.remember(keys[index], evaluation, about)
        journal.charge(stage, Ledger(evaluations=1, seconds=time.perf_counter() - started))
        started = time.perf_counter()
        found[index] = evaluation
    complete = [evaluation for evaluation in found if evaluation is not None]
    if len(complete) != len(keys):
        raise FailureError("some evaluations are missing")
    return Scores(
        tuple(tasks),
        weights,
        np.array([evaluation.values for evaluation in complete]).reshape(len(keys), len(objectives)),
        np.array([evaluation.stderr for evaluation in complete]).reshape(len(keys), len(objectives)),
        tuple(objectives),
        (origin,) * len(keys),
    )
