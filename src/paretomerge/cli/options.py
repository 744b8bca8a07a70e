"""Options that several verbs share, and how `a=1,b=2` is read."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from paretomerge.errors import InputError

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, nothing else.")]
RecipeOrRun = Annotated[str, typer.Argument(metavar="RECIPE-or-RUN", help="A recipe file, or the folder of a run.")]
RunFolderArgument = Annotated[str, typer.Argument(metavar="RUN", help="The folder of a run.")]
OutOption = Annotated[str | None, typer.Option("--out", help="The run folder; by default RECIPE-run.")]
BaseOption = Annotated[str, typer.Option("--base", metavar="DIR", help="The pretrained checkpoint.")]
TaskOption = Annotated[
    list[str], typer.Option("--task", metavar="NAME=DIR", help="A finetuned checkpoint; repeat for each task.")
]
_MAX_DISTANCE = typer.Option(
    "--max-distance",
    help="Refuse a finetune whose distance from the base, relative to the base's norm, is larger: "
    "it was trained from another base.",
)
DistanceOption = Annotated[float, _MAX_DISTANCE]
MaybeDistanceOption = Annotated[float | None, _MAX_DISTANCE]


def parse_tasks(pairs: Sequence[str]) -> dict[str, str]:
    """`["a=DIR", "b=DIR"]` as a mapping.

    Raises:
        InputError: a pair without `=`, or a task given twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, path = pair.partition("=")
        if not (sign and name and path):
            raise InputError(f"--task {pair!r}: write it as NAME=DIR")
        if name in found:
            raise InputError(f"--task {name!r} is given twice")
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


def print_json(content: Any) -> None:
    """JSON on standard output."""
    json.dump(content, sys.stdout, indent=2, default=str, allow_nan=False)
    sys.stdout.write("\n")
