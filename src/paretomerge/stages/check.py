"""`check` of a recipe: everything that can be known before spending a minute."""

from __future__ import annotations

import os
from pathlib import Path

from paretomerge.checkpoints import Alignment, align, open_checkpoint
from paretomerge.recipes import Recipe, load_function, load_recipe, method
from paretomerge.runs import RunFolder


def check_recipe(recipe_or_run: str | os.PathLike[str]) -> Alignment:
    """Parse the recipe, resolve its methods and functions, and align its checkpoints; nothing is written.

    Raises:
        RecipeError: an unknown key, method, setting or function.
        CheckpointError: a checkpoint that cannot be opened.
    """
    folder = RunFolder(Path(recipe_or_run))
    recipe: Recipe = load_recipe(folder.recipe if folder.path.is_dir() else folder.path)
    method("posterior", recipe.posterior.family, recipe.posterior.settings)
    method("rule", recipe.rule.name, recipe.rule.settings)
    for reference in (recipe.problem, recipe.evaluator):
        if reference is not None:
            load_function(reference)
    finetunes = {task: open_checkpoint(section.checkpoint) for task, section in recipe.tasks.items()}
    return align(open_checkpoint(recipe.base), finetunes, max_distance=recipe.max_distance)
