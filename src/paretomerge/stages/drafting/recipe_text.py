"""The text of a drafted recipe: a few lines that say what must be said, and comments that show what else can be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

EVALUATIONS_PER_TASK = 5
"""The front method stops by itself when more would bring nothing, so this is a ceiling and not a cost."""

FEWEST_EVALUATIONS = 10

CURVED = 200
"""Examples per task for the posteriors: from 100 on they are stable, 700 are a little better."""

CURVED_TEXTS = 50
"""The same of a language model, whose examples have a label per token and cost far more."""

METRICS = {
    "sequence_classification": "loss, accuracy, f1",
    "image_classification": "loss, accuracy, f1",
    "causal_lm": "loss, perplexity, exact_match",
}
"""What a recipe shows of the metrics that each kind of problem has."""

SCORED = 1000
"""Examples of a split that are read at most: an accuracy is then known to 1.5 percentage points or better."""


@dataclass(frozen=True)
class RecipeParts:
    """What the recipe says.

    Args:
        base: the base, as it is written.
        tasks: task → `checkpoint`, and `data` where it is known.
        problem: the kind of problem; `None` where no problem from files fits.
        settings: of the problem, those that are not as by default.
        columns: setting → what was found out about a column, for comments.
        training: steps and batch size of the finetunes, where their Trainer wrote them down.
        remarks: sentences for the top of the file.
    """

    base: str
    tasks: Mapping[str, Mapping[str, str]]
    problem: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    training: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def evaluations(self) -> int:
        """Merged models to measure at most."""
        return max(FEWEST_EVALUATIONS, EVALUATIONS_PER_TASK * len(self.tasks))


def recipe_text(parts: RecipeParts) -> str:
    """YAML with comments, each on a line of its own or behind a value."""
    lines = [
        "# A recipe of paretomerge, drafted by `paretomerge init`. Paths are relative to this file.",
        "# Try it with  paretomerge check RECIPE,  then  paretomerge front RECIPE  and  paretomerge report RECIPE-run.",
    ]
    for remark in parts.remarks:
        lines += _comment(remark)
    lines += ["", f"base: {_flow(parts.base)}", "tasks:"]
    for task, section in parts.tasks.items():
        todo = "" if "data" in section or parts.problem is None else "  # TODO: add  data: FILE-or-FOLDER"
        lines.append(f"  {_flow(task)}: {_flow(dict(section))}{todo}")
    lines += ["", *_problem(parts), "", *_posterior(parts), "", *_front(parts), "", *_training(parts), "# seed: 0"]
    return "\n".join(lines) + "\n"


def relative_to(path: Path, folder: Path) -> str:
    """A path as the recipe in `folder` writes it: relative, unless that leads far up."""
    absolute, start = path.expanduser().absolute(), folder.absolute()
    try:
        found = os.path.relpath(absolute, start)
    except ValueError:  # another drive
        return str(absolute)
    return str(absolute) if found.count("..") > 3 else Path(found).as_posix()


def _problem(parts: RecipeParts) -> list[str]:
    if parts.problem is None:
        return [
            "# TODO: these models have no head that a problem from files knows. Give a function that returns a",
            "# Problem, or score merged models by an evaluator of your own (see Recipes in the documentation):",
            "# problem: problem.py:build",
            "# evaluator: {command: '{python} evaluate.py {model_dir} --task {task}'}",
        ]
    lines = [f"problem: {parts.problem}"]
    lines += [f"# {setting}: {found}" for setting, found in parts.columns.items()]
    if parts.settings:
        lines.append(f"problem_settings: {_flow(dict(parts.settings))}")
    lines += [
        "# Also: batch_size: 32 (of curvature and evaluation), shares: [0.8, 0.1, 0.1] (where a task is one file)",
        f"# evaluator: {{metrics: [{METRICS[parts.problem]}]}}  # what is measured; loss and accuracy without it",
    ]
    return lines


def _posterior(parts: RecipeParts) -> list[str]:
    lines = ["# How sure each finetune is of its parameters. family: subspace (isotropic needs no data)"]
    if parts.problem is None:
        return [*lines, "posterior: {family: isotropic}"]
    if parts.problem == "causal_lm":
        lines.append("# groups: layer is more flexible, at as many times the cost as the model has layers")
        lines.append(f"posterior: {{settings: {{groups: model, examples: {CURVED_TEXTS}}}}}  # examples per task")
        return lines
    lines.append(f"posterior: {{settings: {{examples: {CURVED}}}}}  # per task, of the training split; more are slower")
    return lines


def _front(parts: RecipeParts) -> list[str]:
    return [
        "# Merged models to measure at most: fewer where more would bring nothing, 0 trusts the posteriors alone.",
        "# Also: metric: loss (or accuracy), split: validation, interval: 0.9, constraints: [], workers: 1",
        f"front: {{evaluations: {parts.evaluations}}}",
    ]


def _training(parts: RecipeParts) -> list[str]:
    known = {"steps": parts.training.get("steps", 200), "examples_per_task": parts.training.get("batch", 32)}
    source = "steps and batches are those of the finetunes" if parts.training else "give steps and batches"
    return [
        f"# For `paretomerge verify`, joint finetuning at chosen points; {source},",
        "# the learning rate is yours to fill in." if parts.training else "# and the learning rate of your finetunes.",
        f"# training: {_flow({**known, 'learning_rate': 5.0e-5})}",
    ]


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _comment(text: str, width: int = 116) -> list[str]:
    import textwrap

    return [f"# {line}" for line in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)]
