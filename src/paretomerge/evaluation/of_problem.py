"""The evaluator of a problem's metrics by name: one forward pass, written answers and choices, as they are wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from paretomerge.errors import DataError, nearest
from paretomerge.evaluation.base import Evaluator
from paretomerge.evaluation.combined import CombinedEvaluator
from paretomerge.evaluation.generation import ExactMatchEvaluator
from paretomerge.evaluation.metrics import METRICS, require_metrics
from paretomerge.evaluation.multiple_choice import MultipleChoiceEvaluator
from paretomerge.evaluation.supervised import SupervisedEvaluator
from paretomerge.types import Problem, Questions, Split

_GENERATION = ("max_new_tokens", "stop", "batch_size", "normalise")


def problem_evaluator(
    problem: Problem,
    split: Split = "test",
    metrics: Sequence[str] | None = None,
    questions: Questions | None = None,
    generation: Mapping[str, Any] | None = None,
) -> Evaluator:
    """`(params, task) → metric → [n]` for metrics of `METRICS`, whose objectives `problem_objectives` names.

    All parts share one module.

    Args:
        problem: model and data.
        split: whose examples are scored.
        metrics: which ones; loss and accuracy by default.
        questions: of the same examples, for `exact_match`, `choice_accuracy` and `choice_accuracy_norm`.
        generation: settings of `exact_match`: `max_new_tokens`, `stop`, `batch_size`, `normalise`.

    Raises:
        DataError: a metric that the problem does not have, questions that are missing, or an unknown setting.
        EvaluationError: `exact_match` of a model that does not write.
    """
    wanted = require_metrics(problem, metrics)
    sources = {METRICS[name].source for name in wanted}
    if sources == {"batches"}:
        return SupervisedEvaluator(problem, split, wanted)
    module = problem.build()
    shared = replace(problem, build=lambda: module)
    supervised = [name for name in wanted if METRICS[name].source == "batches"]
    parts: list[Evaluator] = [SupervisedEvaluator(shared, split, supervised)] if supervised else []
    asked = _require_questions(problem, wanted, questions)
    if "answers" in sources:
        parts.append(ExactMatchEvaluator(shared.build, asked, split, **_require_known(generation or {})))
    if "choices" in sources:
        parts.append(MultipleChoiceEvaluator(shared.build, asked, split))
    return parts[0] if len(parts) == 1 else CombinedEvaluator(parts)


def _require_questions(problem: Problem, wanted: Sequence[str], questions: Questions | None) -> Questions:
    name = next(name for name in wanted if METRICS[name].source != "batches")
    if questions is None:
        raise DataError(
            f"{name!r} needs prompts and answers as text, which batches do not have: make the problem from files "
            "(problem: causal_lm), or give questions, such as causal_lm_questions reads"
        )
    missing = [task for task in problem.tasks if task not in questions.tasks]
    if missing:
        raise DataError(f"the questions have no task {missing[0]!r}{nearest(missing[0], questions.tasks)}")
    return questions


def _require_known(generation: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in generation:
        if name not in _GENERATION:
            raise DataError(
                f"generation: unknown setting {name!r}{nearest(name, _GENERATION)}: any of {', '.join(_GENERATION)}"
            )
    return generation
