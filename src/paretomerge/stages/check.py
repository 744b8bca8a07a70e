"""`check` of a recipe: everything that can be known before spending a minute."""

from __future__ import annotations

import os
from pathlib import Path

from paretomerge.checkpoints import Alignment, align, open_checkpoint
from paretomerge.recipes import Recipe, load_function, load_recipe, method
from paretomerge.runs import RunFolder


def check_recipe(recipe_or_run: str | os.PathLike[str], max_distance: float | None = None) -> Alignment:
    """Parse the recipe, resolve its methods and functions, and align its checkpoints; nothing is written.

    Args:
        recipe_or_run: a recipe file, or the folder of a run.
        max_distance: instead of the recipe's own.

    Raises:
        RecipeError: an unknown key, method, setting or function.
        CheckpointError: a checkpoint that cannot be opened.
    """
    path = Path(recipe_or_run)
    recipe: Recipe = load_recipe(RunFolder(path).require().recipe if path.is_dir() else path)
    method("posterior", recipe.posterior.family, recipe.posterior.settings)
    method("rule", recipe.rule.name, recipe.rule.settings)
    for reference in (recipe.problem, recipe.evaluator):
        if reference is not None:
            load_function(reference)
    finetunes = {task: open_checkpoint(section.checkpoint) for task, section in recipe.tasks.items()}
    return align(
        open_checkpoint(recipe.base),
        finetunes,
        max_distance=recipe.max_distance if max_distance is None else max_distance,
    )
