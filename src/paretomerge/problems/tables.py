"""Rows of examples, from a file or from memory, and columns of them; every complaint says which row.

Files are JSON lines (`.jsonl`) or comma-separated values with a header (`.csv`), in UTF-8.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.errors import DataError, nearest

SUFFIXES = (".jsonl", ".csv")

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Table:
    """Rows, and where each was found.

    Args:
        source: what messages call it: a path, or a phrase.
        rows: column → value.
        numbers: of each row: the line of the file it ends at, or its place in the list, counted from 1.
        unit: what the numbers count.
    """

    source: str
    rows: tuple[Row, ...]
    numbers: tuple[int, ...]
    unit: str = "line"

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def place(self, row: int) -> str:
        """Where a row is, for messages."""
        return f"{self.source}, {self.unit} {self.numbers[row]}"

    def first(self, rows: Iterable[int]) -> int:
        """Which of some rows comes first in the source, whatever their order here."""
        return min(rows, key=self.numbers.__getitem__)

    def take(self, chosen: Iterable[int]) -> Table:
        """Some of the rows, in the order given."""
        kept = list(chosen)
        rows, numbers = tuple(self.rows[i] for i in kept), tuple(self.numbers[i] for i in kept)
        return Table(self.source, rows, numbers, self.unit)

    def column(self, name: str, setting: str) -> list[Any]:
        """The values of one column.

        Args:
            name: of the column.
            setting: which setting names it, for messages.

        Raises:
            DataError: a row without it, with the nearest known one.
        """
        lacking = [index for index, row in enumerate(self.rows) if name not in row]
        if lacking:
            index = self.first(lacking)
            row = self.rows[index]
            raise DataError(
                f"{self.place(index)}: there is no column {name!r}{nearest(name, row)}: it has "
                f"{', '.join(map(repr, row)) or 'no columns'}. Name the right one by the setting {setting!r}"
            )
        return [row[name] for row in self.rows]

    def texts(self, name: str, setting: str, *, may_be_empty: bool = False) -> list[str]:
        """A column of text.

        Raises:
            DataError: a value of another type, or an empty text.
        """
        values = self.column(name, setting)
        foreign = [index for index, value in enumerate(values) if not isinstance(value, str)]
        if foreign:
            index = self.first(foreign)
            raise DataError(f"{self.place(index)}: {name!r} is {_described(values[index])}, not text")
        empty = [] if may_be_empty else [index for index, value in enumerate(values) if not value.strip()]
        if empty:
            raise DataError(
                f"{self.place(self.first(empty))}: {name!r} is empty, as it is in {len(empty)} of {len(self)} rows: "
                "remove these rows"
            )
        return values


def table_of(rows: Sequence[Row], source: str) -> Table:
    """Rows in memory.

    Raises:
        DataError: a row that is not a mapping.
    """
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise DataError(f"{source}, row {number}: expected a mapping of columns to values, got {_described(row)}")
    return Table(source, tuple(rows), tuple(range(1, len(rows) + 1)), "row")


def read_table(path: Path) -> Table:
    """All rows of a `.jsonl` or `.csv` file; blank lines are skipped.

    Raises:
        DataError: another kind of file, no rows, a broken line (with its number), or bytes that are not UTF-8.
        StorageError: the disk refused to read.
    """
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: examples are read from {' or '.join(SUFFIXES)} files, not from {path.suffix or path}")
    read = _json_lines if path.suffix == ".jsonl" else _comma_separated
    try:
        with storage_errors(path, "read"):
            found = list(read(path))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: the file is not UTF-8 text ({error.reason}): save it in UTF-8") from error
    if not found:
        raise DataError(f"{path}: the file holds no examples")
    numbers, rows = zip(*found, strict=True)
    return Table(str(path), rows, numbers)


def _json_lines(path: Path) -> Iterator[tuple[int, Row]]:
    # utf-8-sig: some editors begin a file with a byte order mark.
    with path.open(encoding="utf-8-sig") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise DataError(
                    f"{path}, line {number}: this is not JSON ({error}); write one object per line"
                ) from error
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number}: expected an object such as {{...}}, got {_described(row)}")
            yield number, row


def _comma_separated(path: Path) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8-sig", newline="") as handle:
        lines = csv.reader(handle, strict=True)
        header: list[str] | None = None
        try:
            for fields in lines:
                if not fields:
                    continue
                if header is None:
                    header = _checked_header(path, fields)
                    continue
                if len(fields) != len(header):
                    raise DataError(
                        f"{path}, line {lines.line_num}: {len(fields)} fields, but the header has {len(header)} "
                        f"({', '.join(header)}): put text with commas or line breaks in double quotes"
                    )
                yield lines.line_num, dict(zip(header, fields, strict=True))
        except csv.Error as error:
            raise DataError(f"{path}, line {lines.line_num}: this is not CSV ({error})") from error


def _checked_header(path: Path, fields: list[str]) -> list[str]:
    twice = [name for name in fields if fields.count(name) > 1]
    if twice:
        raise DataError(f"{path}: two columns are called {twice[0]!r}: the first line must name every column once")
    return fields


def _described(value: Any) -> str:
    return "missing (null)" if value is None else f"{str(value)!r:.60} ({type(value).__name__})"
