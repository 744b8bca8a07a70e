"""The tables of a task: from a folder, a file, rows in memory, or any of the latter two per split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import cast

from paretomerge.errors import DataError, nearest
from paretomerge.problems.columnar import Row
from paretomerge.problems.split_files import NAMES, read_folder, read_table
from paretomerge.problems.tables import Table, table_of
from paretomerge.types import Split

Rows = str | PathLike[str] | Sequence[Row]
Source = Rows | Mapping[str, Rows]
"""A folder with a file per split, one file, rows in memory, or any of the latter two per split."""

Found = Table | dict[Split, Table]
"""One table that is to be shared out, or one per split."""


@dataclass(frozen=True)
class Reading:
    """How paths become tables.

    Args:
        table: path → one table.
        folder: task, folder → one table per split, or one that is shared out.
    """

    table: Callable[[Path], Table] = read_table
    folder: Callable[[str, Path], Found] = read_folder


TABLES = Reading()
"""Files of rows, and saved data sets."""


def find_tables(task: str, source: Source, reading: Reading = TABLES) -> Found:
    """One table to share out, or one per split.

    Args:
        task: its name, for messages.
        source: where its examples are.
        reading: how paths become tables.

    Raises:
        DataError: nothing there, an unknown split, or what cannot be read.
        MissingExtraError: an optional package is needed to read it, and not installed.
        StorageError: the disk refused to read.
    """
    if isinstance(source, Mapping):
        unknown = [name for name in source if name not in NAMES]
        if unknown or not source:
            raise DataError(
                f"the data of task {task!r} have {'the split ' + repr(unknown[0]) if unknown else 'no splits'}"
                f"{nearest(unknown[0], NAMES) if unknown else ''}: give {', '.join(NAMES)}"
            )
        return {
            cast(Split, split): _table(rows, f"the {split} rows of task {task!r}", reading)
            for split, rows in source.items()
        }
    if isinstance(source, str | PathLike) and Path(source).expanduser().is_dir():
        return reading.folder(task, Path(source).expanduser())
    return _table(source, f"the rows of task {task!r}", reading)


def _table(rows: Rows, source: str, reading: Reading) -> Table:
    if isinstance(rows, str | PathLike):
        path = Path(rows).expanduser()
        if not path.exists():
            there = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
            raise DataError(f"{source}: there is no file or folder {path}{nearest(path.name, there)}")
        return reading.table(path)
    if isinstance(rows, bytes) or not isinstance(rows, Sequence):
        raise DataError(f"{source}: expected a path or a list of rows, got {type(rows).__name__}")
    if not rows:
        raise DataError(f"{source}: the list is empty")
    return table_of(cast("Sequence[Row]", rows), source)
