"""The problem of a recipe: made from files, or by a function of the user's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from paretomerge.checkpoints import Checkpoint
from paretomerge.errors import CheckpointError, ParetomergeError, RecipeError, nearest
from paretomerge.recipes import FILE_PROBLEMS, Recipe, load_function, read_source
from paretomerge.types import Problem, Questions

_FORMS = {"image_classification": ("preprocessor_config.json",)}
"""Files beside `config.json` that say how a model takes its examples."""


def load_problem(recipe: Recipe, base: Checkpoint) -> Problem | None:
    """Model and data of a recipe, with the recipe's tasks in its order; `None` where it names no problem.

    Args:
        recipe: the settings.
        base: the base checkpoint, from whose folder a problem made from files takes configuration and tokenizer.

    Raises:
        RecipeError: a function that is not there, raises, or returns something else; or a task it does not know.
        DataError: files of examples that cannot be used.
        CheckpointError: a base that is no Hugging Face folder, where a problem is made from files.
    """
    if recipe.problem is None:
        return None
    if recipe.problem in FILE_PROBLEMS:
        return _from_files(recipe, base)
    if ":" not in recipe.problem:
        raise RecipeError(
            f"problem: {recipe.problem!r}{nearest(recipe.problem, FILE_PROBLEMS)} names no function: write "
            f"file.py:function, or one of {', '.join(FILE_PROBLEMS)}, which need none"
        )
    problem = _from_function(recipe, recipe.problem)
    missing = [task for task in recipe.tasks if task not in problem.tasks]
    if missing:
        raise RecipeError(
            f"{recipe.problem} knows the tasks {', '.join(problem.tasks)}, but not {missing[0]!r} of the recipe"
        )
    return replace(problem, tasks=tuple(recipe.tasks))


def load_questions(recipe: Recipe, base: Checkpoint) -> Questions | None:
    """The examples of a recipe's language model as prompts with an answer; `None` where its problem has none.

    Raises:
        DataError: files of examples that cannot be used, or texts without prompts.
        CheckpointError: a base that is no Hugging Face folder.
        MissingExtraError: transformers is not installed.
    """
    if recipe.problem != "causal_lm":
        return None
    from paretomerge.problems import causal_lm_questions

    data = {task: section.data for task, section in recipe.tasks.items() if section.data is not None}
    return causal_lm_questions(_folder_of(base), data, **recipe.problem_settings.settings_of(recipe.problem))


def problem_source(recipe: Recipe, base: Checkpoint) -> bytes:
    """What a problem depends on besides its examples: the function's source, or the model's configuration."""
    if recipe.problem_settings.model is not None:
        return read_source(recipe.problem_settings.model)
    if recipe.problem in FILE_PROBLEMS:
        files = [_folder_of(base) / name for name in ("config.json", *_FORMS.get(recipe.problem, ()))]
        return b"".join(file.read_bytes() for file in files if file.is_file())
    return read_source(recipe.problem) if recipe.problem else b""


def _from_files(recipe: Recipe, base: Checkpoint) -> Problem:
    from paretomerge import problems

    data = {task: section.data for task, section in recipe.tasks.items() if section.data is not None}
    settings = recipe.problem_settings.settings_of(recipe.problem or "")
    if recipe.problem == "sequence_classification":
        return problems.sequence_classification_problem(_folder_of(base), data, **settings)
    if recipe.problem == "causal_lm":
        return problems.causal_lm_problem(_folder_of(base), data, **settings)
    own = settings.pop("model")
    return problems.image_classification_problem(load_function(own) if own else _folder_of(base), data, **settings)


def _folder_of(base: Checkpoint) -> Path:
    if base.source is None:
        raise CheckpointError("a problem made from files needs the base as a Hugging Face folder, not in memory")
    return base.source if base.source.is_dir() else base.source.parent


def _from_function(recipe: Recipe, reference: str) -> Problem:
    function = load_function(reference)
    data = {task: section.data for task, section in recipe.tasks.items() if section.data is not None}
    try:
        problem = function(data) if data else function()
    except ParetomergeError:
        raise
    except Exception as error:
        raise RecipeError(f"{reference} raised {type(error).__name__} when it was called: {error}") from error
    if not isinstance(problem, Problem):
        raise RecipeError(f"{reference} returned {type(problem).__name__}, not a paretomerge Problem")
    return problem
