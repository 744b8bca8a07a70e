"""Rows of examples and columns of them; every complaint says which row of which file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretomerge.errors import DataError, nearest
from paretomerge.problems.columnar import ColumnarRows, Row


@dataclass(frozen=True, eq=False)
class Table:
    """Rows, and where each was found.

    Args:
        source: what messages call it: a path, or a phrase.
        rows: column → value.
        numbers: of each row: the line of the file it ends at, or its place in the list, counted from 1.
        unit: what the numbers count.
        folder: where relative paths in the rows start; the working directory when `None`.
    """

    source: str
    rows: tuple[Row, ...] | ColumnarRows
    numbers: Sequence[int]
    unit: str = "line"
    folder: Path | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that any row has."""
        if isinstance(self.rows, ColumnarRows):
            return self.rows.names
        return tuple(dict.fromkeys(name for row in self.rows for name in row))

    def place(self, row: int) -> str:
        """Where a row is, for messages."""
        return f"{self.source}, {self.unit} {self.numbers[row]}"

    def first(self, rows: Iterable[int]) -> int:
        """Which of some rows comes first in the source, whatever their order here."""
        return min(rows, key=self.numbers.__getitem__)

    def take(self, chosen: Iterable[int]) -> Table:
        """Some of the rows, in the order given."""
        kept = list(chosen)
        rows = self.rows.take(kept) if isinstance(self.rows, ColumnarRows) else tuple(self.rows[i] for i in kept)
        return Table(self.source, rows, tuple(self.numbers[i] for i in kept), self.unit, self.folder)

    def values(self, name: str, rows: Sequence[int]) -> list[Any]:
        """Some values of a column, `None` in rows that lack it."""
        if isinstance(self.rows, ColumnarRows):
            return self.rows.values(name, rows)
        return [self.rows[row].get(name) for row in rows]

    def head(self, name: str, count: int) -> list[Any]:
        """The first values of a column, `None` in rows that lack it."""
        if isinstance(self.rows, ColumnarRows):
            return self.rows.head(name, count)
        return [row.get(name) for row in self.rows[:count]]

    def class_names(self, name: str) -> tuple[str, ...] | None:
        """What the numbers of a column stand for, where the file says so (`ClassLabel` of Hugging Face)."""
        return self.rows.class_names(name) if isinstance(self.rows, ColumnarRows) else None

    def contents(self, key: str, setting: str) -> list[str]:
        """What tells rows apart: all of a row, or its key alone where columns are read one by one.

        Raises:
            DataError: no such column.
        """
        if isinstance(self.rows, ColumnarRows):
            return [value if isinstance(value, str) else repr(value) for value in self.column(key, setting)]
        return [json.dumps(dict(row), sort_keys=True, default=str) for row in self.rows]

    def column(self, name: str, setting: str) -> list[Any]:
        """The values of one column.

        Args:
            name: of the column.
            setting: which setting names it, for messages.

        Raises:
            DataError: a row without it, with the nearest known one.
        """
        if isinstance(self.rows, ColumnarRows):
            if name not in self.rows.names:
                raise DataError(_lacking(self.source, name, self.rows.names, setting))
            return self.rows.values(name)
        lacking = [index for index, row in enumerate(self.rows) if name not in row]
        if lacking:
            index = self.first(lacking)
            raise DataError(_lacking(self.place(index), name, tuple(self.rows[index]), setting))
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
            raise DataError(f"{self.place(index)}: {name!r} is {described(values[index])}, not text")
        empty = [] if may_be_empty else [index for index, value in enumerate(values) if not value.strip()]
        if empty:
            raise DataError(
                f"{self.place(self.first(empty))}: {name!r} is empty, as it is in {len(empty)} of {len(self)} rows: "
                "remove these rows"
            )
        return values

    def lists(self, name: str, setting: str) -> list[list[str]]:
        """A column of lists of texts, such as the choices of a question; in files of text, lists as JSON.

        Raises:
            DataError: a value that is no list, an empty list, or one that holds something else than text.

        >>> table_of([{"choices": ["yes", "no"]}, {"choices": '["red", "blue"]'}], "mine").lists("choices", "choices")
        [['yes', 'no'], ['red', 'blue']]
        """
        values = [_from_json(value) for value in self.column(name, setting)]
        wrong = [index for index, value in enumerate(values) if not _is_list_of_texts(value)]
        if wrong:
            index = self.first(wrong)
            raise DataError(
                f"{self.place(index)}: {name!r} is {described(values[index])}, not a list of one or more texts such "
                'as ["yes", "no"]'
            )
        return values


def table_of(rows: Sequence[Row], source: str) -> Table:
    """Rows in memory.

    Raises:
        DataError: a row that is not a mapping.
    """
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise DataError(f"{source}, row {number}: expected a mapping of columns to values, got {described(row)}")
    return Table(source, tuple(rows), tuple(range(1, len(rows) + 1)), "row")


def described(value: Any) -> str:
    """A value and its type, cut short, for messages."""
    return "missing (null)" if value is None else f"{str(value)!r:.60} ({type(value).__name__})"


def _lacking(place: str, name: str, there: Sequence[str], setting: str) -> str:
    return (
        f"{place}: there is no column {name!r}{nearest(name, there)}: it has "
        f"{', '.join(map(repr, there)) or 'no columns'}. Name the right one by the setting {setting!r}"
    )


def _from_json(value: Any) -> Any:
    """The list that a text spells, else the value itself."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        return json.loads(value)
    except (json.JSONDecodeError, RecursionError):
        return value


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(part, str) for part in value)
