"""What the recipe's `evaluator` stands for: who scores, which objectives there are, and what scores depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from paretomerge.errors import ParetomergeError
from paretomerge.evaluation import (
    ByTask,
    CombinedEvaluator,
    Evaluator,
    SupervisedEvaluator,
    problem_evaluator,
    problem_objectives,
    supervised_objectives,
)
from paretomerge.recipes import (
    CommandSection,
    EvaluatorSection,
    FunctionSection,
    HarnessSection,
    MetricsSection,
    Recipe,
    load_function,
    read_source,
)
from paretomerge.stages.evaluating.commands import command_digest, command_evaluator, uses_split
from paretomerge.stages.evaluating.harness import digest_of_harness, evaluator_of_harness, objectives_of_harness
from paretomerge.stages.opened import Opened
from paretomerge.types import Objective, Problem, Split

_DEFAULT = ("loss", "accuracy")


@dataclass(frozen=True)
class EvaluatorCheck:
    """Whether one section of the recipe's `evaluator` can be used: `error` says why not, and what to do."""

    what: str
    error: str = ""


def evaluator_of(study: Opened, split: Split) -> Evaluator:
    """Who scores models on a split: the recipe's evaluators together, or losses and accuracies of the problem.

    Raises:
        RecipeError: a function that is not there.
        InputError: a metric, lm-eval task or program that is not there.
        MissingExtraError: a library that an evaluator needs is not installed.
    """
    sections = study.recipe.evaluators
    if not sections:
        return SupervisedEvaluator(_placed(study, "evaluation"), split)
    parts = [_part(study, section, split) for section in sections]
    if len(parts) == 1 and _tasks_of(study, sections[0]) == study.tasks:
        return parts[0]
    return _by_task(study, parts)


def evaluator_objectives(study: Opened) -> tuple[Objective, ...]:
    """What is measured: what the evaluators bring by themselves, and the recipe's objectives.

    An objective of the recipe for the same task and metric stands in place of the evaluator's own.

    Raises:
        InputError, MissingExtraError: as `evaluator_of`.
    """
    given = _given(study)
    sections = study.recipe.evaluators
    if not sections:
        return given or supervised_objectives(study.require_problem("measuring losses"))
    replacing = {(objective.task, objective.metric): objective for objective in given}
    own = [objective for section in sections for objective in _own_objectives(study, section)]
    found = [replacing.pop((each.task, each.metric), each) for each in own]
    return (*found, *replacing.values())


def default_objectives(study: Opened) -> tuple[Objective, ...]:
    """What a front trades off when neither objectives nor a metric were chosen.

    All that the recipe lists; of what evaluators bring by themselves, the first of each task.
    """
    listed = _given(study)
    chosen: list[Objective] = []
    for objective in evaluator_objectives(study):
        if objective in listed or all(objective.task != other.task for other in chosen):
            chosen.append(objective)
    return tuple(chosen)


def evaluator_digest(study: Opened, split: Split) -> str:
    """What scores depend on besides the model: sources, files, versions and settings of the evaluators."""
    sections = study.recipe.evaluators
    if not sections:
        return _problem_metrics_digest(study, split)
    digests = [_digest_of(study, section, split) for section in sections]
    return digests[0] if len(digests) == 1 else hashlib.sha256("|".join(digests).encode()).hexdigest()


def tells_splits_apart(recipe: Recipe) -> bool:
    """Whether scores on validation and test examples differ; a function of the user's own knows no splits."""
    return not recipe.evaluators or any(_knows_split(section) for section in recipe.evaluators)


def check_evaluators(study: Opened) -> tuple[EvaluatorCheck, ...]:
    """What can be known of each section before a model is scored: whether functions, tasks and programs are there."""
    found = []
    for section in study.recipe.evaluators:
        what = _named(section)
        try:
            _own_objectives(study, section)
            if not isinstance(section, MetricsSection):  # whose module takes memory
                _part(study, section, study.recipe.front.split)
        except ParetomergeError as error:
            found.append(EvaluatorCheck(what, str(error)))
        else:
            found.append(EvaluatorCheck(what))
    return tuple(found)


def _by_task(study: Opened, parts: Sequence[Evaluator]) -> Evaluator:
    found: dict[str, Evaluator] = {}
    for task in study.tasks:
        own = [
            part
            for part, section in zip(parts, study.recipe.evaluators, strict=True)
            if task in _tasks_of(study, section)
        ]
        if own:
            found[task] = own[0] if len(own) == 1 else CombinedEvaluator(own)
    return ByTask(found)


def _tasks_of(study: Opened, section: EvaluatorSection) -> tuple[str, ...]:
    if not isinstance(section, HarnessSection):
        return study.tasks
    return tuple(task for task in study.tasks if task in section.lm_eval)


def _part(study: Opened, section: EvaluatorSection, split: Split) -> Evaluator:
    if isinstance(section, FunctionSection):
        return load_function(section.function)
    if isinstance(section, HarnessSection):
        return evaluator_of_harness(section, split, study.base, study.finetunes)
    if isinstance(section, CommandSection):
        return command_evaluator(section, split, study.base, study.finetunes)
    problem = _placed(study, "measuring metrics")
    questions = study.questions if _asks(section) else None
    return problem_evaluator(problem, split, section.metrics, questions, section.generation.model_dump())


def _placed(study: Opened, what: str) -> Problem:
    """The problem, its model where the recipe places it."""
    problem, section = study.require_problem(what), study.recipe.placement
    if section is None:
        return problem
    from paretomerge.problems import ModelPlacement, PlacedBuild

    folder = section.offload or str(study.folder.path)
    placement = ModelPlacement(section.device_map, section.max_memory, folder, section.dtype)
    return replace(problem, build=PlacedBuild(problem.build, placement))


def _own_objectives(study: Opened, section: EvaluatorSection) -> tuple[Objective, ...]:
    if isinstance(section, MetricsSection):
        return problem_objectives(study.require_problem("measuring metrics"), section.metrics)
    return objectives_of_harness(study, section) if isinstance(section, HarnessSection) else ()


def _digest_of(study: Opened, section: EvaluatorSection, split: Split) -> str:
    if isinstance(section, FunctionSection):
        return hashlib.sha256(section.function.encode() + read_source(section.function)).hexdigest()
    if isinstance(section, HarnessSection):
        return digest_of_harness(section, split)
    if isinstance(section, CommandSection):
        return command_digest(section, split)
    digest = _problem_metrics_digest(study, split)
    if set(section.metrics) == _default_metrics(study.require_problem("measuring metrics")):
        return digest
    asked: dict[str, Any] = {"metrics": sorted(section.metrics)}
    if _asks(section):
        asked["questions"] = None if study.questions is None else study.questions.digest(split)
    if "exact_match" in section.metrics:
        asked["generation"] = section.generation.model_dump(exclude={"batch_size"})
    return hashlib.sha256(f"{digest}|{json.dumps(asked, sort_keys=True)}".encode()).hexdigest()


def _problem_metrics_digest(study: Opened, split: Split) -> str:
    """The problem's source and the examples of the split."""
    problem, digest = study.require_problem("evaluation"), study.problem_digest(split)
    placement = study.recipe.placement
    if placement is not None and placement.dtype is not None:
        digest = hashlib.sha256(f"{digest}|{placement.dtype}".encode()).hexdigest()
    # Accuracies of tokens came later: what was stored without them is measured again.
    if problem.likelihood in ("tokens", "causal") and problem.loss_fn is None:
        return hashlib.sha256(f"{digest}|token accuracy".encode()).hexdigest()
    return digest


def _default_metrics(problem: Problem) -> set[str]:
    return {objective.metric for objective in supervised_objectives(problem)}


def _given(study: Opened) -> tuple[Objective, ...]:
    return tuple(Objective(**section.model_dump()) for section in study.recipe.objectives)


def _asks(section: MetricsSection) -> bool:
    """Whether a metric is measured on questions and not on batches."""
    from paretomerge.evaluation import METRICS

    return any(METRICS[name].source != "batches" for name in section.metrics if name in METRICS)


def _knows_split(section: EvaluatorSection) -> bool:
    if isinstance(section, CommandSection):
        return uses_split(section)
    if isinstance(section, HarnessSection):
        return any(task.test for task in section.lm_eval.values())
    return isinstance(section, MetricsSection)


def _named(section: EvaluatorSection) -> str:
    if isinstance(section, FunctionSection):
        return f"function {section.function}"
    if isinstance(section, MetricsSection):
        return f"metrics {', '.join(section.metrics)}"
    if isinstance(section, HarnessSection):
        return f"lm_eval {', '.join(task.task for task in section.lm_eval.values())}"
    return f"command {section.words[0]}"
