"""Where the training, validation and test examples of a task are: files of a folder, or shares of one file.

Examples come in a fixed random order that depends on their contents and a seed alone, not on the order of the file:
the first ones are a random sample wherever only some are used. Rows with the same text stay in one split.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import cast

from paretomerge.errors import DataError, nearest
from paretomerge.problems.tables import SUFFIXES, Row, Table, read_table, table_of
from paretomerge.types import Split

NAMES: dict[Split, tuple[str, ...]] = {
    "training": ("training", "train"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""What the file of a split may be called."""

Rows = str | PathLike[str] | Sequence[Row]
Source = Rows | Mapping[str, Rows]
"""A folder with a file per split, one file, rows in memory, or any of the latter two per split."""


@dataclass(frozen=True)
class Splitting:
    """How examples are taken.

    Args:
        shares: of training, validation and test where a task comes as one file.
        seed: of the shares, and of the order. Finetunes know their training examples: keep it for good.
        examples: how many of every split, all when `None`.

    Raises:
        DataError: shares that are negative or do not sum to one, or a number of examples that is not positive.
    """

    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0
    examples: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        shares = self.shares
        is_sound = len(shares) == 3 and all(math.isfinite(share) and share >= 0 for share in shares)
        if not is_sound or abs(sum(shares) - 1) > 1e-6:
            raise DataError(
                f"shares: the parts of training, validation and test must be three numbers of at least 0 that sum to "
                f"1, such as [0.8, 0.1, 0.1]; got {list(shares)}"
            )
        if self.examples is not None and self.examples < 1:
            raise DataError(f"examples: at least one per split is needed, got {self.examples}")


def read_splits(task: str, source: Source, key: str, setting: str, how: Splitting) -> dict[Split, Table]:
    """The examples of a task by split, in their random order; a split that has no file is left out.

    Args:
        task: its name, for messages.
        source: where its examples are.
        key: the column whose equal texts stay in one split.
        setting: which setting names that column.
        how: shares, seed, number of examples.

    Raises:
        DataError: nothing there, a broken file, a missing column, or too few rows to share out.
        StorageError: the disk refused to read.
    """
    tables = _tables(task, source)
    if isinstance(tables, Table):
        tables = _share_out(tables, tables.texts(key, setting, may_be_empty=True), how)
    return {split: table.take(_order(table, how.seed)[: how.examples]) for split, table in tables.items()}


def _tables(task: str, source: Source) -> Table | dict[Split, Table]:
    """One table to share out, or one per split."""
    if isinstance(source, Mapping):
        unknown = [name for name in source if name not in NAMES]
        if unknown or not source:
            raise DataError(
                f"the data of task {task!r} have {'the split ' + repr(unknown[0]) if unknown else 'no splits'}"
                f"{nearest(unknown[0], NAMES) if unknown else ''}: give {', '.join(NAMES)}"
            )
        return {
            cast(Split, split): _table(rows, f"the {split} rows of task {task!r}") for split, rows in source.items()
        }
    if isinstance(source, str | PathLike) and Path(source).is_dir():
        return _folder(task, Path(source))
    return _table(source, f"the rows of task {task!r}")


def _table(rows: Rows, source: str) -> Table:
    if isinstance(rows, str | PathLike):
        path = Path(rows).expanduser()
        if not path.is_file():
            there = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
            raise DataError(f"{source}: there is no file or folder {path}{nearest(path.name, there)}")
        return read_table(path)
    if isinstance(rows, bytes) or not isinstance(rows, Sequence):
        raise DataError(f"{source}: expected a path or a list of rows, got {type(rows).__name__}")
    if not rows:
        raise DataError(f"{source}: the list is empty")
    return table_of(cast("Sequence[Row]", rows), source)


def _folder(task: str, folder: Path) -> dict[Split, Table]:
    found: dict[Split, Table] = {}
    for split, names in NAMES.items():
        files = [folder / f"{name}{suffix}" for name in names for suffix in SUFFIXES]
        there = [file for file in files if file.is_file()]
        if len(there) > 1:
            raise DataError(
                f"{folder}: the {split} examples of task {task!r} are in two files, "
                f"{there[0].name} and {there[1].name}: keep one of them"
            )
        if there:
            found[split] = read_table(there[0])
    if not found:
        held = sorted(file.name for file in folder.iterdir())
        raise DataError(
            f"{folder}: there are no examples of task {task!r}: expected training, validation and test, each as "
            f"{' or '.join(SUFFIXES)}; the folder holds {', '.join(held[:6]) or 'nothing'}"
        )
    return found


def _share_out(table: Table, keys: Sequence[str], how: Splitting) -> dict[Split, Table]:
    distinct = sorted(set(keys), key=lambda key: _digest(key, how.seed))
    wanted = [split for split, share in zip(NAMES, how.shares, strict=True) if share > 0]
    if len(distinct) < len(wanted):
        raise DataError(
            f"{table.source}: {len(distinct)} different texts are too few for {' and '.join(wanted)}: give more "
            "examples, or a folder with a file per split"
        )
    split_of: dict[str, Split] = {}
    start, total = 0, 0.0
    for split, share in zip(NAMES, how.shares, strict=True):
        total += share
        if split not in wanted:
            continue
        later = len(wanted) - wanted.index(split) - 1
        # Every split that has a share gets at least one text.
        stop = min(max(round(total * len(distinct)), start + 1), len(distinct) - later)
        split_of |= dict.fromkeys(distinct[start:stop], split)
        start = stop
    return {split: table.take(i for i, key in enumerate(keys) if split_of[key] == split) for split in wanted}


def _order(table: Table, seed: int) -> list[int]:
    """A random order of the rows that depends on their contents and the seed."""
    digests = [_digest(json.dumps(dict(row), sort_keys=True, default=str), seed) for row in table.rows]
    return sorted(range(len(table)), key=digests.__getitem__)


def _digest(text: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}|{text}".encode("utf-8", "surrogatepass")).digest()
