"""The reference of recipes: every key with values and default, and the settings of every method, from the schema."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGE = "reference/recipe.md"
INTRODUCTION = """# Keys of a recipe

Written from the schema when this site is built. What recipes are for, with examples: [Recipes](../recipes.md). Unknown
keys are refused, with the nearest known one named.
"""
KINDS = {
    "posterior": ("posterior.settings", "Settings of posteriors", "`posterior.family` is one of the names below."),
    "rule": ("rule.settings", "Settings of merge rules", "`rule.name` is one of the names below."),
    "front": ("front.settings", "Settings of front methods", "`front.method` is one of the names below."),
}
WORDS = {str: "text", int: "integer", float: "number", bool: "true or false", Any: "anything", dict: "mapping"}
_NO_DEFAULT = object()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by mkdocs: adds the page."""
    files.append(File.generated(config, PAGE, content=recipe_page()))
    return files


def recipe_page() -> str:
    """The whole page, in Markdown."""
    from paretomerge.recipes.schema import Recipe

    parts = [INTRODUCTION, "## The recipe", "", _section(Recipe)]
    sections = sections_of(Recipe)
    several = Counter(where for where, _ in sections)
    for where, section in sections:
        kind = f" with `{next(iter(section.model_fields))}`" if several[where] > 1 else ""
        parts += [f"## `{where}`{kind}", "", _lead(section), "", _section(section)]
    for kind, (_, title, lead) in KINDS.items():
        parts += [f"## {title}", "", lead, ""]
        parts += [_method(name, chosen) for name, chosen in methods_of(kind).items()]
    return "\n".join(parts)


def sections_of(section: Any, where: str = "") -> list[tuple[str, Any]]:
    """Key → the section it holds, depth first; `tasks.NAME` for a mapping, `objectives[]` for a list."""
    from pydantic import BaseModel

    found: list[tuple[str, Any]] = []
    for name, field in section.model_fields.items():
        text = str(field.annotation)
        suffix = ".NAME" if text.startswith("dict[") else "[]" if "tuple[" in text else ""
        for held in _classes_in(field.annotation):
            if issubclass(held, BaseModel):
                place = f"{where}{name}{suffix}"
                found += [(place, held), *sections_of(held, f"{place}.")]
    return found


def methods_of(kind: str) -> dict[str, Any]:
    """Name → dataclass of settings, of the methods that a recipe can name."""
    from importlib import import_module

    from paretomerge.recipes.methods import TABLES

    table: Any = TABLES
    homes = (row.rsplit(".", 1) for row in table[kind].values())
    classes = [getattr(import_module(f"paretomerge.{room}"), name) for room, name in homes]
    return dict(zip(table[kind], classes, strict=True))


def arguments_of(docstring: str | None) -> dict[str, str]:
    r"""Name → what the part `Args:` of a docstring says of it; `a, b: text` is said of both.

    >>> arguments_of("Title.\n\n    Args:\n        a, b: two\n            lines.\n\n    More.")
    {'a': 'two lines.', 'b': 'two lines.'}
    """
    text = inspect.cleandoc(docstring or "")
    block = re.search(r"^Args:\n((?: {4}.*\n?|\n)*)", text, re.MULTILINE)
    found: dict[str, str] = {}
    for entry in re.findall(r"^ {4}(\S.*(?:\n {5,}.*)*)", block[1] if block else "", re.MULTILINE):
        names, _, said = " ".join(entry.split()).partition(": ")
        found.update({name.strip("`"): said for name in names.split(", ")})
    return found


def _classes_in(annotation: Any) -> list[type]:
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    return [held for part in get_args(annotation) for held in _classes_in(part)]


def _lead(section: Any) -> str:
    return _without_arguments(section.__doc__)


def _without_arguments(docstring: str | None) -> str:
    text = inspect.cleandoc(docstring or "")
    return re.sub(r"^(Args|Raises):\n((?: {4}.*\n?|\n)*)", "", text, flags=re.MULTILINE).strip()


def _section(section: Any) -> str:
    said = arguments_of(section.__doc__)
    rows = (
        f"| `{name}` | {_type(field.annotation)} | {_default(_default_of(field))} | {_cell(said.get(name, ''))} |"
        for name, field in section.model_fields.items()
    )
    return "\n".join(("| key | values | default | |", "|---|---|---|---|", *rows, ""))


def _default_of(field: Any) -> Any:
    return _NO_DEFAULT if field.is_required() else field.get_default(call_default_factory=True)


def _method(name: str, chosen: Any) -> str:
    said = arguments_of(chosen.__doc__)
    parts = [f"### `{name}`", "", _first_sentence(chosen), ""]
    types = get_type_hints(chosen)
    settings = [field for field in dataclasses.fields(chosen) if field.init and not field.name.startswith("_")]
    if settings:
        rows = (
            f"| `{field.name}` | {_type(types[field.name])} | {_default(_setting_default(field))} "
            f"| {_cell(said.get(field.name, ''))} |"
            for field in settings
        )
        parts += ["| setting | values | default | |", "|---|---|---|---|", *rows, ""]
    return "\n".join(parts)


def _first_sentence(chosen: Any) -> str:
    return " ".join(_without_arguments(chosen.__doc__).split("\n\n")[0].split())


def _setting_default(field: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return _NO_DEFAULT if field.default_factory is dataclasses.MISSING else field.default_factory()


def _default(value: Any) -> str:
    if value is _NO_DEFAULT:
        return "required"
    if dataclasses.is_dataclass(value) or hasattr(type(value), "model_fields"):
        return ""
    if isinstance(value, tuple):
        value = list(value)
    return f"`{_cell(json.dumps(value, default=str, ensure_ascii=False).replace('null', 'none'))}`"


def _type(annotation: Any) -> str:
    return _cell(_spelled(annotation))


def _spelled(annotation: Any) -> str:
    """A type in words: `list of text`, `number or none`, `informed or map`.

    >>> _spelled(tuple[str, ...] | None)
    'list of text or none'
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation is None or annotation is NoneType:
        return "none"
    if origin is Literal:
        return " or ".join(map(str, parts))
    if origin is Annotated:
        return _spelled(parts[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_spelled(part) for part in parts))
    if origin in (tuple, list, Sequence):
        every = len(parts) == 1 or parts[-1] is Ellipsis
        return f"list of {_spelled(parts[0])}" if every else f"[{', '.join(map(_spelled, parts))}]"
    if origin in (dict, Mapping):
        return f"mapping to {_spelled(parts[1])}"
    if hasattr(annotation, "model_fields"):
        return "section"
    return WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
