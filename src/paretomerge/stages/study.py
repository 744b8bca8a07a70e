"""An opened run: recipe, checkpoints, problem, journal and evaluators together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from paretomerge.checkpoints import Alignment, align, open_checkpoint
from paretomerge.checkpoints.atomic import write_text
from paretomerge.errors import RecipeError
from paretomerge.evaluation import Evaluator
from paretomerge.recipes import Recipe, digest_recipe, dump_recipe, load_recipe
from paretomerge.runs import RunFolder
from paretomerge.stages.evaluating.evaluators import evaluator_digest, evaluator_objectives, evaluator_of
from paretomerge.stages.opened import Opened
from paretomerge.stages.problems import load_problem
from paretomerge.types import Objective, Split


@dataclass(frozen=True)
class Study(Opened):
    """A recipe with everything it names opened, and what it measures."""

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """What is measured."""
        return evaluator_objectives(self)

    def evaluator(self, split: Split) -> Evaluator:
        """The recipe's own evaluators, or losses and accuracies on a split of the problem."""
        return evaluator_of(self, split)

    def evaluator_digest(self, split: Split) -> str:
        """What scores depend on besides the model: its source, or the problem's source and examples of the split."""
        return evaluator_digest(self, split)

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
