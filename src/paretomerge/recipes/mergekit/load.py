"""From a file to a checked mergekit configuration."""

from __future__ import annotations

from os import PathLike
from typing import Any, Literal

from paretomerge.checkpoints.paths import user_path
from paretomerge.errors import RecipeError, nearest
from paretomerge.recipes.mergekit.models import (
    USE_MERGEKIT,
    ModelPath,
    Source,
    Sources,
    name_tasks,
    read_path,
    read_sources,
)
from paretomerge.recipes.mergekit.parameters import METHODS, check_settings
from paretomerge.recipes.mergekit.recipe import MergekitRecipe
from paretomerge.recipes.yaml_files import read_yaml

KEYS = (
    *("merge_method", "base_model", "models", "slices", "modules", "parameters", "dtype", "out_dtype"),
    *("tokenizer_source", "tokenizer", "chat_template"),
)
TOKENIZER_KEYS = ("source", "tokens", "pad_to_multiple_of")
DTYPES = ("bfloat16", "float16", "float32", "float64")


def load_mergekit(path: str | PathLike[str]) -> MergekitRecipe:
    """Read a mergekit configuration; its relative paths stay relative to the working directory.

    Raises:
        RecipeError: no such file, no YAML, an unknown key (with the nearest known one), a wrong value, or a merge
            that is not supported.
    """
    path = user_path(path)
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecipeError(f"there is no mergekit configuration {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read the mergekit configuration {path}: {error}") from error
    except ValueError as error:
        raise RecipeError(f"{path} is not one YAML document: {error}") from error
    return parse_mergekit(content, str(path))


def parse_mergekit(content: Any, source: str = "mergekit configuration") -> MergekitRecipe:
    """A mergekit configuration from parsed YAML.

    Raises:
        RecipeError: as `load_mergekit`.
    """
    if not isinstance(content, dict):
        raise RecipeError(f"{source}: expected a mapping with merge_method, models, …, got {type(content).__name__}")
    try:
        return _parse(content)
    except RecipeError as error:
        raise RecipeError(f"{source}: {error}") from error


def _parse(content: dict[str, Any]) -> MergekitRecipe:
    for key in content:
        if key not in (*KEYS, "name"):
            raise RecipeError(f"unknown key {key!r}{nearest(key, KEYS)}; the keys here are {', '.join(KEYS)}")
    method = _method(content.get("merge_method"))
    sources = read_sources(content)
    warnings = _check_parameters(content, sources, method)
    base = _base(sources, method)
    tasks = _tasks(sources, method, base)
    names = name_tasks([source.model for source in tasks])
    return MergekitRecipe(
        method=method,
        base=base,
        models={name: source.model for name, source in zip(names, tasks, strict=True)},
        dtype=_dtype(content, "dtype"),
        out_dtype=_dtype(content, "out_dtype"),
        tokenizer=_tokenizer(content, base),
        parameters=content.get("parameters") or {},
        slice_parameters=sources.slice_parameters,
        model_parameters={name: source.parameters for name, source in zip(names, tasks, strict=True)},
        layers=sources.layers,
        warnings=(*warnings, *_ignored(content)),
    )


def _method(given: Any) -> str:
    if isinstance(given, str) and given in METHODS:
        return given
    if given == "passthrough":
        raise RecipeError(f"merge_method: passthrough copies or stacks layers and merges nothing: {USE_MERGEKIT}")
    what = "is missing" if given is None else f"{given!r} is not supported{nearest(given, METHODS)}"
    raise RecipeError(f"merge_method {what}: one of {', '.join(METHODS)}. For another method {USE_MERGEKIT}")


def _base(sources: Sources, method: str) -> ModelPath:
    if method == "linear":
        return sources.models[0].model if sources.base is None else sources.base
    if sources.base is None:
        raise RecipeError(f"base_model is missing: {method} starts from it. Write base_model: DIR")
    if sources.base not in [source.model for source in sources.models]:
        raise RecipeError(
            f"slices[0].sources: the base_model {sources.base} is not among them, which mergekit needs too: add it, or "
            "list the models under models"
        )
    return sources.base


def _tasks(sources: Sources, method: str, base: ModelPath) -> list[Source]:
    """What is merged: without the base where it is the origin of task vectors, or has no weight in an average."""
    others = [source for source in sources.models if source.model != base]
    own = [source for source in sources.models if source.model == base]
    if method == "slerp":
        if len(others) != 1:
            raise RecipeError(f"slerp needs the base_model and exactly one other model, got {len(others)} others")
        return own + others  # the base is at t = 0
    if method == "linear":
        left_out = [source for source in own if _has_no_weight(source)] if others else []
        return [source for source in sources.models if source not in left_out]
    if not others:
        raise RecipeError(f"{method} needs at least one model beside the base_model {base}: list the finetunes")
    return others


def _has_no_weight(source: Source) -> bool:
    return source.parameters.get("weight") in (0, "0", "0.0")


def _check_parameters(content: dict[str, Any], sources: Sources, method: str) -> list[str]:
    warnings = []
    for source in sources.models:
        where = f"parameters of {source.model}"
        warnings += check_settings(source.parameters, method, where, "model")
        if source.model == sources.base and source.parameters and method not in ("linear", "slerp"):
            warnings.append(f"{where} have no effect: it is the base_model (as in mergekit)")
    warnings += check_settings(sources.slice_parameters, method, "slices[0].parameters", "slice")
    warnings += check_settings(content.get("parameters") or {}, method, "parameters", "global")
    return warnings


def _ignored(content: dict[str, Any]) -> list[str]:
    warnings = []
    if content.get("chat_template") is not None:
        warnings.append("chat_template is not applied: the merged model keeps the chat template of the base")
    if "name" in content:
        warnings.append("name has no effect (as in mergekit)")
    if any("residual_weight" in entry for entry in content.get("slices") or ()):
        warnings.append("slices[0].residual_weight has no effect (as in mergekit)")
    return warnings


def _dtype(content: dict[str, Any], key: str) -> str | None:
    given = content.get(key)
    if given is None:
        return None
    name = str(given).removeprefix("torch.")
    if name not in DTYPES:
        raise RecipeError(f"{key}: unknown dtype {given!r}{nearest(name, DTYPES)}: one of {', '.join(DTYPES)}")
    return name


def _tokenizer(content: dict[str, Any], base: ModelPath) -> Literal["base", "union"] | None:
    source, section = content.get("tokenizer_source"), content.get("tokenizer")
    if source and section:
        raise RecipeError("tokenizer_source and tokenizer are both given: keep one of them")
    if section is not None:
        if not isinstance(section, dict):
            raise RecipeError(f"tokenizer: expected a mapping such as {{source: base}}, got {section!r}")
        for key in section:
            if key not in TOKENIZER_KEYS:
                raise RecipeError(f"tokenizer: unknown key {key!r}{nearest(key, TOKENIZER_KEYS)}")
        for key in ("tokens", "pad_to_multiple_of"):
            if section.get(key):
                raise RecipeError(f"tokenizer.{key} is not supported: remove it, or {USE_MERGEKIT}")
        source = section.get("source", "union")
    if not source:
        return None
    if source in ("base", "union"):
        return "base" if source == "base" else "union"
    if read_path(source, "tokenizer_source") == base:
        return "base"
    raise RecipeError(f"tokenizer_source: {source!r} is neither base nor union: take one of them, or {USE_MERGEKIT}")
