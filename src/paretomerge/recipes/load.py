"""YAML to recipe and back, without loss; and the Python functions a recipe names."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from paretomerge.checkpoints.paths import user_path
from paretomerge.errors import RecipeError, nearest
from paretomerge.recipes.evaluators import TAGS, CommandSection, EvaluatorSection, FunctionSection, HarnessSection
from paretomerge.recipes.file_problems import FILE_PROBLEMS
from paretomerge.recipes.schema import Recipe, TaskSection
from paretomerge.recipes.yaml_files import read_yaml


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe; its relative paths become absolute, seen from the recipe's folder.

    Raises:
        RecipeError: no such file, no YAML, an unknown key (with the nearest known one), or a wrong value.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RecipeError(f"there is no recipe {path}{nearest(path.name, _files_beside(path))}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read the recipe {path}: {error}") from error
    try:
        content = read_yaml(text)
    except ValueError as error:
        raise RecipeError(f"{path} is not YAML: {error}") from error
    return parse_recipe(content, str(path), path.parent)


def _files_beside(path: Path) -> list[str]:
    return [file.name for file in path.parent.iterdir() if file.is_file()] if path.parent.is_dir() else []


def parse_recipe(content: Any, source: str = "recipe", folder: Path | None = None) -> Recipe:
    """A recipe from parsed YAML; with a `folder`, relative paths become absolute."""
    if not isinstance(content, dict):
        raise RecipeError(f"{source}: expected a mapping with the keys base, tasks, …, got {type(content).__name__}")
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{source}: " + "; ".join(_explain(problem) for problem in error.errors())) from error
    return recipe if folder is None else _with_absolute_paths(recipe, folder.resolve())


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML; `parse_recipe(yaml.safe_load(dump_recipe(recipe)))` is the same recipe."""
    content = recipe.model_dump(mode="json")
    # Only what the problem has: functions have no such settings.
    settings = recipe.problem_settings.settings_of(recipe.problem) if recipe.problem in FILE_PROBLEMS else {}
    content["problem_settings"] = {name: content["problem_settings"][name] for name in settings}
    if not settings:
        del content["problem_settings"]
    if recipe.placement is None:
        del content["placement"]
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    # Rare characters (a next-line mark in a path) survive only when they are escaped.
    return text if yaml.safe_load(text) == content else yaml.safe_dump(content, sort_keys=False)


def digest_recipe(recipe: Recipe) -> str:
    """Equal digests mean equal recipes; settings at their defaults do not count, so that new ones change no digest."""
    content = recipe.model_dump(mode="json", exclude_defaults=True)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def load_function(reference: str) -> Callable[..., Any]:
    """The function behind `path/to/file.py:name` or `package.module:name`.

    The file is the user's own code, named in the user's own recipe; nothing of a checkpoint is ever imported.

    Raises:
        RecipeError: no such file, module or function.
    """
    where, _, name = reference.rpartition(":")
    if not where or not name:
        raise RecipeError(f"{reference!r} names no function: write file.py:function or package.module:function")
    module = _import_file(Path(where)) if where.endswith(".py") else _import_module(where)
    function = getattr(module, name, None)
    if not callable(function):
        raise RecipeError(f"{where!r} has no function {name!r}{nearest(name, dir(module))}")
    return function


def read_source(reference: str) -> bytes:
    """The source behind `path/to/file.py:name` or `package.module:name`; empty where there is none."""
    where = reference.rpartition(":")[0]
    path = Path(where)
    if not where.endswith(".py"):
        found = importlib.util.find_spec(where)
        path = Path(found.origin or "") if found is not None else Path()
    return path.read_bytes() if path.is_file() else b""


def _import_module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RecipeError(f"cannot import {name!r}: {error}") from error
    except Exception as error:
        raise RecipeError(f"{name} raised {type(error).__name__} when it was imported: {error}") from error


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise RecipeError(f"there is no file {path}")
    # A name of its own per path, registered so that process pools can pickle what it defines.
    name = f"paretomerge_user_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise RecipeError(f"{path} raised {type(error).__name__} when it was imported: {error}") from error
    return module


def _with_absolute_paths(recipe: Recipe, folder: Path) -> Recipe:
    def absolute(path: str) -> str:
        if path.startswith("hub://"):
            return path
        return str(folder / user_path(path))

    def reference(text: str | None) -> str | None:
        is_file = text is not None and ".py:" in text
        return absolute(text) if is_file and text is not None else text

    def moved(task: TaskSection) -> dict[str, str]:
        changed = {"checkpoint": absolute(task.checkpoint)}
        # To a function of the user's own, data are a word: only problems made from files read paths.
        if task.data is not None and recipe.problem in FILE_PROBLEMS:
            changed["data"] = absolute(task.data)
        return changed

    def evaluator(section: EvaluatorSection) -> EvaluatorSection:
        if isinstance(section, FunctionSection):
            return section.model_copy(update={"function": reference(section.function)})
        if isinstance(section, HarnessSection):
            return section.model_copy(update={"include": tuple(map(absolute, section.include))})
        if isinstance(section, CommandSection):
            return section.model_copy(update={"folder": absolute(section.folder or ".")})
        return section

    named, placement = recipe.evaluator, recipe.placement
    if placement is not None and placement.offload is not None:
        placement = placement.model_copy(update={"offload": absolute(placement.offload)})
    tasks = {name: task.model_copy(update=moved(task)) for name, task in recipe.tasks.items()}
    files = {task: absolute(path) for task, path in recipe.posterior.files.items()}
    update = {
        "base": absolute(recipe.base),
        "posterior": recipe.posterior.model_copy(update={"files": files}),
        "tasks": tasks,
        "problem": reference(recipe.problem),
        "problem_settings": recipe.problem_settings.model_copy(
            update={"model": reference(recipe.problem_settings.model)}
        ),
        "placement": placement,
        "evaluator": tuple(map(evaluator, named)) if isinstance(named, tuple) else reference(named),
    }
    return recipe.model_copy(update=update)


def _explain(problem: Any) -> str:
    location = [str(part) for part in problem["loc"]]
    where = [part for part in location if not _is_tag(part, location)]
    if problem["type"] == "extra_forbidden":
        known = _fields_at(location[:-1])
        return f"unknown key {'.'.join(where)!r}{nearest(where[-1], known)}; the keys here are {', '.join(known)}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{'.'.join(where)}: {message}" if where else message


def _is_tag(part: str, location: list[str]) -> bool:
    """Whether a part of an error's location says what kind of evaluator was read, and is no key of the recipe."""
    return location[0] == "evaluator" and part in TAGS


def _fields_at(where: list[str]) -> list[str]:
    """The keys of the section a location leads to."""
    section: Any = Recipe
    for part in where:
        if _is_tag(part, where):
            section = TAGS[part] or section
        elif isinstance(section, type) and issubclass(section, BaseModel):
            field = section.model_fields.get(part)
            section = field.annotation if field is not None else section
            for inner in getattr(section, "__args__", ()):
                if isinstance(inner, type) and issubclass(inner, BaseModel):
                    section = inner
    is_section = isinstance(section, type) and issubclass(section, BaseModel)
    return list(section.model_fields) if is_section else list(Recipe.model_fields)
