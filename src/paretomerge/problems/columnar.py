"""Rows of examples that are stored column by column: parquet files, and Hugging Face data sets on disk.

A column is read when somebody asks for it, so what is not needed costs nothing. Both come as columns of Apache Arrow;
numbers that stand for classes keep the classes' names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast, overload

Row = Mapping[str, Any]

MUCH = 1 << 30
"""Bytes of a column that Arrow is not asked to rearrange at once: texts of 2 GB and more overflow its offsets."""


class ColumnFile(Protocol):
    """Where columns come from."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns there are."""
        ...

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """The names of classes, of columns whose numbers stand for such."""
        ...

    @property
    def count(self) -> int:
        """Number of rows."""
        ...

    def column(self, name: str) -> Any:
        """A column, as a `pyarrow.ChunkedArray`."""
        ...

    def head(self, name: str, count: int) -> list[Any]:
        """The first values of a column, without reading the others."""
        ...


@dataclass(frozen=True, eq=False)
class ColumnarRows(Sequence[Row]):
    """Rows of a `ColumnFile`, all or some.

    Args:
        file: where columns come from.
        chosen: which rows, in which order; all when `None`.
        columns: those that were read, shared by all choices of rows of one file.
    """

    file: ColumnFile
    chosen: tuple[int, ...] | None = None
    columns: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns there are."""
        return self.file.names

    def __len__(self) -> int:
        """Number of rows."""
        return self.file.count if self.chosen is None else len(self.chosen)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> ColumnarRows: ...

    def __getitem__(self, index: int | slice) -> Row | ColumnarRows:
        """One row with all its columns, or several rows."""
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        row = range(len(self))[index]
        return {name: self.values(name, [row])[0] for name in self.names}

    def __iter__(self) -> Iterator[Row]:
        """All rows, with all their columns."""
        every = [self.values(name) for name in self.names]
        for values in zip(*every, strict=True):
            yield dict(zip(self.names, values, strict=True))

    def values(self, name: str, rows: Sequence[int] | None = None) -> list[Any]:
        """One column, or some of its values."""
        if name not in self.columns:
            self.columns[name] = self.file.column(name)
        column = self.columns[name]
        indices: Sequence[int] | None = self.chosen
        if rows is not None:
            indices = rows if self.chosen is None else [self.chosen[row] for row in rows]
        if indices is None:
            return cast("list[Any]", column.to_pylist())
        if column.nbytes > MUCH:
            return [column[index].as_py() for index in indices]
        return cast("list[Any]", column.take(list(indices)).to_pylist())

    def head(self, name: str, count: int) -> list[Any]:
        """The first values of a column, without reading the others where that is possible."""
        if self.chosen is None and name not in self.columns:
            return self.file.head(name, count)
        return self.values(name, range(min(count, len(self))))

    def class_names(self, name: str) -> tuple[str, ...] | None:
        """What the numbers of a column stand for, where the file says so."""
        return self.file.classes.get(name)

    def take(self, rows: Sequence[int]) -> ColumnarRows:
        """Some of the rows, in the order given."""
        chosen = rows if self.chosen is None else [self.chosen[row] for row in rows]
        return ColumnarRows(self.file, tuple(chosen), self.columns)
