"""An opened run: recipe, checkpoints, problem and journal together."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from paretomerge.checkpoints import Alignment, Checkpoint, align, open_checkpoint
from paretomerge.errors import RecipeError
from paretomerge.evaluation import Evaluator, SupervisedEvaluator, supervised_objectives
from paretomerge.recipes import Recipe, digest_recipe, dump_recipe, load_function, load_recipe
from paretomerge.runs import RunFolder
from paretomerge.types import Objective, Problem, Split


@dataclass(frozen=True)
class Study:
    """A recipe with everything it names opened.

    Args:
        recipe: the settings.
        folder: where results go.
        base: the base checkpoint, lazily.
        finetunes: task → checkpoint, lazily.
        problem: model and data, when the recipe names them.
    """

    recipe: Recipe
    folder: RunFolder
    base: Checkpoint
    finetunes: Mapping[str, Checkpoint]
    problem: Problem | None

    @property
    def tasks(self) -> tuple[str, ...]:
        """Task names, in the recipe's order."""
        return tuple(self.recipe.tasks)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is measured."""
        if self.recipe.objectives:
            return tuple(Objective(**section.model_dump()) for section in self.recipe.objectives)
        return supervised_objectives(self.require_problem("measuring losses"))

    @cached_property
    def digests(self) -> dict[str, str]:
        """What evaluations depend on besides method and weights: the checkpoints' contents."""
        return {"base": self.base.digest, **{task: finetune.digest for task, finetune in self.finetunes.items()}}

    def require_problem(self, what: str) -> Problem:
        """The problem, or `RecipeError`."""
        if self.problem is None:
            raise RecipeError(
                f"{what} needs model and data: name a function that returns a Problem as `problem:` in the recipe"
            )
        return self.problem

    def evaluator(self, split: Split) -> Evaluator:
        """The recipe's own evaluator, or losses and accuracies on a split of the problem."""
        if self.recipe.evaluator:
            return load_function(self.recipe.evaluator)
        return SupervisedEvaluator(self.require_problem("evaluation"), split)

    def evaluator_digest(self, split: Split) -> str:
        """What the evaluator depends on: its source, or the examples of the split."""
        if self.recipe.evaluator:
            path = Path(self.recipe.evaluator.rpartition(":")[0])
            content = path.read_bytes() if path.is_file() else b""
            return hashlib.sha256(self.recipe.evaluator.encode() + content).hexdigest()
        return _digest_examples(self.require_problem("evaluation"), split)

    def check(self) -> Alignment:
        """Pre-flight: everything that does not fit, at once."""
        return align(self.base, self.finetunes, max_distance=self.recipe.max_distance)


def open_study(recipe_or_run: str | os.PathLike[str] | Recipe, out: str | os.PathLike[str] | None = None) -> Study:
    """Open a recipe (a new run, or one to resume) or a run folder.

    Args:
        recipe_or_run: a recipe file, a `Recipe`, or the folder of a run.
        out: the run folder; by default the recipe's name with `-run`, beside it.

    Raises:
        RecipeError: a recipe that does not parse, or a run folder that belongs to another recipe.
        CheckpointError: a checkpoint that cannot be opened.
    """
    recipe, folder = _locate(recipe_or_run, out)
    problem = _load_problem(recipe)
    base = open_checkpoint(recipe.base)
    finetunes = {task: open_checkpoint(section.checkpoint) for task, section in recipe.tasks.items()}
    _claim(folder, recipe)
    return Study(recipe, folder, base, finetunes, problem)


def _locate(recipe_or_run: Any, out: Any) -> tuple[Recipe, RunFolder]:
    if isinstance(recipe_or_run, Recipe):
        if out is None:
            raise RecipeError("a recipe in memory needs `out`, the folder of its run")
        return recipe_or_run, RunFolder(Path(out))
    path = Path(recipe_or_run)
    if path.is_dir():
        folder = RunFolder(path).require()
        return load_recipe(folder.recipe), folder
    return load_recipe(path), RunFolder(Path(out) if out is not None else path.with_name(path.stem + "-run"))


def _claim(folder: RunFolder, recipe: Recipe) -> None:
    """Write the recipe into a new run folder, or check that an old one follows the same recipe."""
    if folder.is_run:
        if digest_recipe(load_recipe(folder.recipe)) != digest_recipe(recipe):
            raise RecipeError(
                f"{folder.path} holds a run of another recipe: give another folder with --out, or edit "
                f"{folder.recipe} itself (what was measured stays; only what changed is measured again)"
            )
        return
    with folder.open_journal():
        pass
    temporary = folder.recipe.with_suffix(".tmp")
    temporary.write_text(dump_recipe(recipe), encoding="utf-8")
    os.replace(temporary, folder.recipe)


def _load_problem(recipe: Recipe) -> Problem | None:
    if recipe.problem is None:
        return None
    function = load_function(recipe.problem)
    data = {task: section.data for task, section in recipe.tasks.items() if section.data is not None}
    problem = function(data) if data else function()
    if not isinstance(problem, Problem):
        raise RecipeError(f"{recipe.problem} returned {type(problem).__name__}, not a paretomerge Problem")
    missing = [task for task in recipe.tasks if task not in problem.tasks]
    if missing:
        raise RecipeError(
            f"{recipe.problem} knows the tasks {', '.join(problem.tasks)}, but not {missing[0]!r} of the recipe"
        )
    return Problem(tuple(recipe.tasks), problem.build, problem.data, problem.likelihood)


def _digest_examples(problem: Problem, split: Split) -> str:
    digest = hashlib.sha256()
    for task in problem.tasks:
        for inputs, targets in problem.batches(task, split):
            parts = inputs.values() if isinstance(inputs, Mapping) else [inputs]
            for tensor in (*parts, targets):
                if isinstance(tensor, torch.Tensor):
                    digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
