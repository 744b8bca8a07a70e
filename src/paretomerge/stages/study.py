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
from paretomerge.checkpoints.atomic import write_text
from paretomerge.errors import RecipeError
from paretomerge.evaluation import Evaluator
from paretomerge.recipes import Recipe, digest_recipe, dump_recipe, load_recipe
from paretomerge.runs import RunFolder
from paretomerge.stages.evaluators import evaluator_digest, evaluator_objectives, evaluator_of
from paretomerge.stages.problems import load_problem, problem_source
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
        return evaluator_objectives(self)

    @cached_property
    def digests(self) -> dict[str, str]:
        """What evaluations depend on besides method and weights: the checkpoints' contents."""
        return {"base": self.base.digest, **{task: finetune.digest for task, finetune in self.finetunes.items()}}

    def require_problem(self, what: str) -> Problem:
        """The problem, or `RecipeError`."""
        if self.problem is None:
            raise RecipeError(
                f"{what} needs model and data: give `problem:` in the recipe, sequence_classification, causal_lm, or a "
                "function that returns a Problem"
            )
        return self.problem

    def evaluator(self, split: Split) -> Evaluator:
        """The recipe's own evaluators, or losses and accuracies on a split of the problem."""
        return evaluator_of(self, split)

    def evaluator_digest(self, split: Split) -> str:
        """What scores depend on besides the model: its source, or the problem's source and examples of the split."""
        return evaluator_digest(self, split)

    def problem_digest(self, split: Split) -> str:
        """What curvature, losses and trainings depend on: the problem's source and the examples of a split.

        The source of a problem made from files is the model's configuration.
        """
        problem = self.require_problem("this")
        if split not in self._problem_digests:
            digest = hashlib.sha256(f"{problem.likelihood}|{self.recipe.problem}|".encode())
            digest.update(problem_source(self.recipe, self.base))
            digest.update(_digest_examples(problem, split).encode())
            self._problem_digests[split] = digest.hexdigest()
        return self._problem_digests[split]

    @cached_property
    def _problem_digests(self) -> dict[Split, str]:
        return {}

    def check(self) -> Alignment:
        """Pre-flight: everything that does not fit, at once."""
        return align(self.base, self.finetunes, max_distance=self.recipe.max_distance)


def open_study(
    recipe_or_run: str | os.PathLike[str] | Recipe,
    out: str | os.PathLike[str] | None = None,
    *,
    missing_finetunes: bool = False,
) -> Study:
    """Open a recipe (a new run, or one to resume) or a run folder.

    Args:
        recipe_or_run: a recipe file, a `Recipe`, or the folder of a run.
        out: the run folder; by default the recipe's name with `-run`, beside it.
        missing_finetunes: leave out tasks whose checkpoints do not exist yet, instead of raising.

    Raises:
        RecipeError: a recipe that does not parse, a run folder that belongs to another recipe, or a problem function
            that raises or returns something else.
        DataError: files of examples that cannot be used.
        CheckpointError: a checkpoint that cannot be opened.
        StorageError: the disk refused.
    """
    recipe, folder = _locate(recipe_or_run, out)
    base = open_checkpoint(recipe.base)
    problem = load_problem(recipe, base)
    finetunes = {
        task: open_checkpoint(section.checkpoint, base)
        for task, section in recipe.tasks.items()
        if not missing_finetunes or section.checkpoint.startswith("hub:") or Path(section.checkpoint).exists()
    }
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
        if out is not None and Path(out).resolve() != path.resolve():
            raise RecipeError(f"{path} is a run already, so --out cannot move it: give its recipe for a new run")
        return load_recipe(folder.recipe), folder
    return load_recipe(path), RunFolder(Path(out) if out is not None else path.with_name(path.stem + "-run"))


def _claim(folder: RunFolder, recipe: Recipe) -> None:
    """Write the recipe into a new run folder, or check that an old one follows the same recipe."""
    held = load_recipe(folder.recipe) if folder.recipe.is_file() else None
    if held is not None and digest_recipe(held) != digest_recipe(recipe) and not _may_replace(folder, held):
        raise RecipeError(
            f"{folder.path} holds a run of another recipe: give another folder with --out, or edit "
            f"{folder.recipe} itself (what was measured stays; only what changed is measured again)"
        )
    with folder.open_journal():
        pass
    if held is None or digest_recipe(held) != digest_recipe(recipe):
        write_text(folder.recipe, dump_recipe(recipe))


def _may_replace(folder: RunFolder, held: Recipe) -> bool:
    """Whether a run stopped before it measured anything (a typo, say), and its recipe is no file of the user's."""
    if not folder.is_run or folder.recipe.read_text(encoding="utf-8") != dump_recipe(held):
        return False
    with folder.open_journal() as journal:
        return not (journal.count() or journal.ledger())


def _digest_examples(problem: Problem, split: Split) -> str:
    digest = hashlib.sha256()
    for task in problem.tasks:
        for inputs, targets in problem.batches(task, split):
            parts = inputs.values() if isinstance(inputs, Mapping) else [inputs]
            for tensor in (*parts, targets):
                if isinstance(tensor, torch.Tensor):
                    digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
