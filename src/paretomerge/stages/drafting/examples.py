"""Where the examples of tasks are, which of their columns matter, and how long their texts are."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from paretomerge.errors import ParetomergeError
from paretomerge.problems import Table, probe_columns
from paretomerge.problems.image_files import image_reading
from paretomerge.problems.models import ModelFolder
from paretomerge.problems.saved_datasets import is_saved_set, is_saved_splits
from paretomerge.problems.sources import TABLES, find_tables
from paretomerge.problems.split_files import NAMES, SUFFIXES
from paretomerge.stages.drafting.finetunes import Finetune, Kind

FOLDERS = ("data", "datasets", "dataset", ".")
"""Where examples are looked for below the places of base and finetunes."""

TEXTS_MEASURED = 1000
"""Texts of every task whose tokens are counted."""

SHARE_WHOLE = 0.95
"""So many of the texts shall not be cut."""

STRAY = 2.0
"""Texts this many times as long as nearly all others are cut: a batch is padded to its longest."""

WANTED: dict[Kind, tuple[str, ...]] = {
    "sequence_classification": ("text", "label"),
    "causal_lm": ("prompt", "response"),
    "image_classification": ("image", "label"),
}
"""The columns that a problem from files reads."""

OPTIONAL = ("prompt",)


@dataclass(frozen=True, eq=False)
class Examples:
    """The examples of one task.

    Args:
        path: where they are.
        tables: split → rows; under the empty name one table that will be shared out.
    """

    path: Path
    tables: Mapping[str, Table]

    @property
    def first(self) -> Table:
        """The table that tells most about them: that of training, else any."""
        return self.tables.get("training") or next(iter(self.tables.values()))

    @property
    def is_shared_out(self) -> bool:
        """Whether the splits will be shares of one table."""
        return "" in self.tables

    @property
    def largest(self) -> int:
        """Rows of the largest split."""
        return max(len(table) for table in self.tables.values())


@dataclass(frozen=True)
class ColumnGuess:
    """Which columns the recipe names: setting → column (`None`: there is none), and why.

    `doubts` are sentences about what could not be told.
    """

    columns: Mapping[str, str | None]
    why: Mapping[str, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


def find_data(tune: Finetune, places: Iterable[Path]) -> tuple[Path | None, str]:
    """Where the examples of a task are, and what to say about it; `None` where they are not found.

    Looked for in `data`, `datasets` and `.` of every place, under the task's name and the names of its folders; an
    exact name before one that only begins so.
    """
    names = [tune.task, *(part for part in reversed(tune.given.absolute().parts[-2:]))]
    folders = [place / folder for place in places for folder in FOLDERS]
    looked = list(dict.fromkeys(folder.resolve() for folder in folders if folder.is_dir()))
    inside = [tune.given / "data", tune.given] if tune.given.is_dir() else []
    for folder in inside:
        if folder.is_dir() and _holds_splits(folder):
            return folder, "in the finetune's own folder"
    for exact in (True, False):
        for name in dict.fromkeys(names):
            for folder in looked:
                found = [
                    path for path in _entries(folder) if _is_called(path, name, exact) and path != tune.path.resolve()
                ]
                if len(found) == 1:
                    return found[0], "its name" + ("" if exact else f" begins with {name}")
                if found:
                    listed = ", ".join(path.name for path in found[:4])
                    several = f"{folder} holds several that could be it ({listed})"
                    return None, f"{several}: put them into one folder, a file per split"
    return None, f"nothing called {tune.task} in {', '.join(str(folder) for folder in looked[:4])}"


def guess_columns(kind: Kind, found: Mapping[str, Examples]) -> ColumnGuess:
    """The columns that the recipe names, one for all tasks: a guess of one task that all of them have."""
    probed = {task: probe_columns(examples.first) for task, examples in found.items()}
    columns: dict[str, str | None] = {}
    why: dict[str, str] = {}
    doubts: list[str] = []
    for role in WANTED[kind]:
        guesses = {task: getattr(probe, role) for task, probe in probed.items()}
        shared = [name for name in guesses.values() if name and all(_has(e, name) for e in found.values())]
        if shared:
            columns[role] = max(shared, key=shared.count)
            task = next(task for task, name in guesses.items() if name == columns[role])
            why[role] = probed[task].why.get(role, "")
        elif role in OPTIONAL and not any(guesses.values()):
            columns[role], why[role] = None, "no column looks like one"
        else:
            doubts.append(_doubt(role, guesses, found))
    return ColumnGuess(columns, why, tuple(doubts))


@dataclass(frozen=True)
class Length:
    """Tokens of a text at most, and why so many."""

    tokens: int
    why: str


def measure_length(model: ModelFolder, found: Mapping[str, Examples], columns: Sequence[str]) -> Length | None:
    """Tokens that hold every text, or 95 % of them where a few are far longer; `None` where no tokenizer can be read.

    Counted on the first rows of each task, and rounded up.
    """
    try:
        tokenizer = model.tokenizer()
    except ParetomergeError:
        return None
    longest = most = 0
    for examples in found.values():
        table = examples.first
        rows = range(min(len(table), TEXTS_MEASURED))
        parts = [[str(value or "") for value in table.values(name, rows)] for name in columns]
        joined = [" ".join(texts) for texts in zip(*parts, strict=True)]
        lengths = sorted(len(tokens) for tokens in tokenizer(joined, verbose=False)["input_ids"])
        longest = max(longest, lengths[-1])
        most = max(most, lengths[min(len(lengths) - 1, math.ceil(SHARE_WHOLE * len(lengths)))])
    cut = longest > STRAY * most
    needed = max(16, 8 * math.ceil((most if cut else longest) / 8))
    why = f"95 % of the texts of every task have fewer tokens; the longest has {longest}"
    if model.longest and needed > model.longest:
        return Length(model.longest, "the model takes no more")
    return Length(needed, why if cut else f"the longest text that was looked at has {longest} tokens")


def read_examples(task: str, path: Path, kind: Kind | None) -> Examples:
    """The tables of a task's examples; of an image classifier also folders of images, each called by its class.

    Raises:
        DataError: nothing there, or a broken file.
    """
    reading = image_reading(*WANTED["image_classification"]) if kind == "image_classification" else TABLES
    tables = find_tables(task, path, reading)
    return Examples(
        path, {"": tables} if isinstance(tables, Table) else {str(split): table for split, table in tables.items()}
    )


def _entries(folder: Path) -> list[Path]:
    """What in a folder can be a task's examples."""
    return [path for path in sorted(folder.iterdir()) if _is_table(path) or (path.is_dir() and _holds_splits(path))]


def _is_table(path: Path) -> bool:
    return path.is_file() and path.suffix in SUFFIXES


def _holds_splits(folder: Path) -> bool:
    if is_saved_set(folder) or is_saved_splits(folder):
        return True
    names = {name for every in NAMES.values() for name in every}
    inside = [*folder.iterdir(), *((folder / "data").iterdir() if (folder / "data").is_dir() else ())]
    return any(re.split(r"[-_.]", path.name)[0] in names and (_is_table(path) or path.is_dir()) for path in inside)


def _is_called(path: Path, name: str, exact: bool) -> bool:
    stem, wanted = _plain(path.name.split(".")[0]), _plain(name)
    return stem == wanted if exact else bool(wanted) and stem.startswith(wanted)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.lower())


def _has(examples: Examples, column: str) -> bool:
    return all(column in table.names for table in examples.tables.values())


def _doubt(role: str, guesses: Mapping[str, str | None], found: Mapping[str, Examples]) -> str:
    named = {task: name for task, name in guesses.items() if name}
    if named:
        listed = ", ".join(f"{name!r} in {task}" for task, name in named.items())
        return f"the column of the {role} is {listed}: a recipe has one name for all tasks, so rename the columns"
    task, examples = next(iter(found.items()))
    there = ", ".join(map(repr, examples.first.names))
    return f"no column of {task} looks like the {role}; there are {there}: name it as problem_settings.{role}"
