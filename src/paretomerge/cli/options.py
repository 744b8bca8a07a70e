"""Options that several verbs share, and how `a=1,b=2` is read."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paretomerge.errors import InputError

if TYPE_CHECKING:
    from paretomerge.checkpoints import Repairs

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, nothing else.")]
RecipeOrRun = Annotated[str, typer.Argument(metavar="RECIPE-or-RUN", help="A recipe file, or the folder of a run.")]
RunFolderArgument = Annotated[str, typer.Argument(metavar="RUN", help="The folder of a run.")]
OutOption = Annotated[str | None, typer.Option("--out", help="The run folder; by default RECIPE-run.")]
BaseOption = Annotated[str, typer.Option("--base", metavar="DIR", help="The pretrained checkpoint.")]
TaskOption = Annotated[
    list[str], typer.Option("--task", metavar="NAME=DIR", help="A finetuned checkpoint; repeat for each task.")
]
_EXPONENT = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+\s*")
_MAX_DISTANCE = typer.Option(
    "--max-distance",
    help="Refuse a finetune whose distance from the base, relative to the base's norm, is larger: "
    "it was trained from another base.",
)
DistanceOption = Annotated[float, _MAX_DISTANCE]
MaybeDistanceOption = Annotated[float | None, _MAX_DISTANCE]

RenameOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rename",
        metavar="TASK=OLD:NEW",
        help="Names of the task (* for all) that start with OLD start with NEW instead; a=:bert. adds a prefix, "
        "a=model.: removes one. Repeatable.",
    ),
]
SkipOption = Annotated[
    list[str] | None,
    typer.Option("--skip", metavar="PATTERN", help="Tensors that are not merged: the base's are kept. Repeatable."),
]
PrivateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--private", metavar="PATTERN", help="Tensors of each task alone, such as its head: kept per task. Repeatable."
    ),
]
TokenizerOption = Annotated[
    str | None,
    typer.Option(
        "--tokenizer",
        metavar="base|union",
        help="Where vocabularies differ: the base's tokens, or all of them if one model has them.",
    ),
]


def parse_repairs(
    rename: Sequence[str] | None, skip: Sequence[str] | None, private: Sequence[str] | None, tokenizer: str | None
) -> Repairs:
    """The repairs that the four options ask for.

    Raises:
        InputError: a rule that is not TASK=OLD:NEW, an empty pattern, or an unknown choice of the tokenizer.
    """
    from paretomerge.checkpoints import Rename, Repairs

    rules = tuple(Rename.parse(text) for text in rename or ())
    return Repairs(rules, tuple(skip or ()), tuple(private or ()), tokenizer)  # type: ignore[arg-type]


def parse_tasks(pairs: Sequence[str], option: str = "--task", what: str = "DIR") -> dict[str, str]:
    """`["a=DIR", "b=DIR"]` as a mapping.

    Raises:
        InputError: a pair without `=`, or a task given twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, path = pair.partition("=")
        if not (sign and name and path):
            raise InputError(f"{option} {pair!r}: write it as NAME={what}")
        if name in found:
            raise InputError(f"{option} {name!r} is given twice")
        found[name] = path
    return found


def parse_numbers(text: str, option: str) -> dict[str, float]:
    """`"a=0.6,b=0.4"` as a mapping.

    >>> parse_numbers("a=0.6,b=0.4", "--weights")
    {'a': 0.6, 'b': 0.4}

    Raises:
        InputError: not pairs of a name and a number, or a name given twice.
    """
    found: dict[str, float] = {}
    for pair in text.split(","):
        name, sign, number = pair.rpartition("=")
        try:
            value = float(number)
        except ValueError as error:
            raise InputError(f"{option} {text!r}: {number!r} is not a number; write a=0.6,b=0.4") from error
        if not (sign and name.strip()):
            raise InputError(f"{option} {text!r}: write a=0.6,b=0.4")
        if name.strip() in found:
            raise InputError(f"{option} {text!r}: {name.strip()!r} is given twice")
        found[name.strip()] = value
    return found


def parse_names(text: str, option: str) -> list[str]:
    """`"a,b"` as a list.

    Raises:
        InputError: no name between two commas, or a name given twice.
    """
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise InputError(f"{option} {text!r}: write a,b")
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{option} {text!r}: {name!r} is given twice")
    return names


def parse_settings(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """`["density=0.3", "normalize=false"]` as a mapping; values are read as YAML.

    >>> parse_settings(["density=0.3", "normalize=false"], "--set")
    {'density': 0.3, 'normalize': False}

    Raises:
        InputError: a pair without `=`, a key given twice, or a value that is no YAML.
    """
    from paretomerge.recipes.yaml_files import read_yaml

    found: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not (sign and key and value):
            raise InputError(f"{option} {pair!r}: write it as KEY=VALUE")
        if key in found:
            raise InputError(f"{option} {key!r} is given twice")
        try:
            # YAML 1.1, which PyYAML reads, takes 1e-3 for text
            found[key] = float(value) if _EXPONENT.fullmatch(value) else read_yaml(value)
        except ValueError as error:
            raise InputError(f"{option} {pair!r}: {value!r} cannot be read") from error
    return found


def parse_bytes(text: str, option: str) -> int:
    """`"5GB"` as a number of bytes; decimal units, as transformers reads them.

    >>> parse_bytes("5GB", "--max-shard-size"), parse_bytes("200MB", "--max-shard-size")
    (5000000000, 200000000)

    Raises:
        InputError: not a positive number with a unit.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)B?\s*", text, re.IGNORECASE)
    size = int(float(found[1]) * 1000 ** (" KMGT".index(found[2].upper() or " "))) if found else 0
    if size < 1:
        raise InputError(f"{option} {text!r}: write it as 5GB or 200MB")
    return size


def print_json(content: Any) -> None:
    """JSON on standard output."""
    json.dump(content, sys.stdout, indent=2, default=str, allow_nan=False)
    sys.stdout.write("\n")
