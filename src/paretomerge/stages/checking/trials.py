"""A few examples through base and finetunes: does the model run, and is each finetune good at its own task?

A finetune that is no better than the base on its own examples is the commonest silent mistake: another order of the
labels, another column, another folder. It is found here within seconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from paretomerge.curvature.examples import take_examples
from paretomerge.errors import DataError, EvaluationError
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.stages.checking.rows import Rows
from paretomerge.types import Batch, Params, Problem, Split

TRIED = 64
"""Examples of a task that are tried: 64 tell a finetune from its base unless they hardly differ."""

Scores = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Trial:
    """What trying found.

    Args:
        seconds: of scoring one example.
        examples: of a whole evaluation: all tasks, on the split that is measured.
    """

    seconds: float
    examples: int

    @property
    def evaluation(self) -> float:
        """Seconds of scoring one merged model on all tasks."""
        return self.seconds * self.examples


def try_models(rows: Rows, problem: Problem, base: Params, finetunes: Mapping[str, Params], split: Split) -> Trial:
    """Score base and finetunes on a few examples of each task; rows `model` and `finetunes`.

    Raises:
        DataError: a split without examples, or examples that the model cannot read.
        AlignmentError: parameters that do not fit the model.
        EvaluationError: a loss that is not finite.
    """
    heads = {task: list(take_examples(problem.batches(task, split), TRIED)) for task in finetunes}
    evaluator = SupervisedEvaluator(replace(problem, data=lambda task, _: heads[task]), split)
    started = time.perf_counter()
    before = {task: _scored(evaluator, base, task, "the base") for task in finetunes}
    seconds = time.perf_counter() - started
    shown = ", ".join(f"{scores['loss'].mean():.3g} on {task}" for task, scores in before.items())
    tried = sum(_count(batches) for batches in heads.values())
    rows.ok("model", f"the base runs, its loss is {shown} ({tried} examples)")
    worse = []
    for task, tune in finetunes.items():
        after = _scored(evaluator, tune, task, f"the finetune of {task}")
        if not (before[task]["loss"] - after["loss"]).mean() > 0:
            worse.append(task)
            rows.warn("finetunes", _no_better(task, before[task], after))
    if not worse:
        rows.ok("finetunes", "each is better than the base on its own task")
    return Trial(seconds / tried, sum(problem.count_examples(task, split) for task in finetunes))


def _no_better(task: str, base: Scores, tune: Scores) -> str:
    accuracy = ""
    if "accuracy" in tune:
        accuracy = f", accuracy {tune['accuracy'].mean():.2f} against {base['accuracy'].mean():.2f}"
    return (
        f"{task} is no better than the base on its own examples: loss {tune['loss'].mean():.3g} against "
        f"{base['loss'].mean():.3g}{accuracy} ({len(tune['loss'])} examples). Likely causes: another order of the "
        "labels than in its training (problem_settings.labels), another column or prompt, data of another task, or "
        "the wrong folder"
    )


def _scored(evaluator: SupervisedEvaluator, params: Params, task: str, whose: str) -> Scores:
    """Finite scores of one model on one task."""
    try:
        found = evaluator(params, task)
    except (RuntimeError, IndexError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"the model cannot read the examples of {task}: {type(error).__name__}: {error}. Do tokenizer, columns and "
            "labels belong to this model?"
        ) from error
    scores = {metric: np.asarray(values.detach().double().cpu()) for metric, values in found.items()}
    if not math.isfinite(loss := float(scores["loss"].mean())):
        raise EvaluationError(f"the loss of {whose} on examples of {task} is {loss}: its checkpoint is broken")
    return scores


def _count(batches: Sequence[Batch]) -> int:
    return sum(len(targets) for _, targets in batches)
