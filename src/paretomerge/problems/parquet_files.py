"""Columns of parquet files: one file, or several that hold one table."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.errors import DataError, MissingExtraError
from paretomerge.problems.columnar import ColumnarRows
from paretomerge.problems.tables import Table

INDEX = "__index_level_"
"""Columns that pandas adds for the numbers of its rows begin so."""


def read_parquet(paths: Sequence[Path], source: str) -> Table:
    """A table in one or several files; its columns are read when they are asked for.

    Args:
        paths: in the order of their rows.
        source: what messages call it.

    Raises:
        DataError: a broken file, files of different columns, or no rows.
        MissingExtraError: pyarrow is not installed.
        StorageError: the disk refused to read.
    """
    files = ParquetFiles(tuple(paths))
    if not files.count:
        raise DataError(f"{source}: the file holds no examples")
    return Table(source, ColumnarRows(files), range(1, files.count + 1), "row", paths[0].parent)


@dataclass(frozen=True, eq=False)
class ParquetFiles:
    """Columns of one or several files."""

    paths: tuple[Path, ...]

    @cached_property
    def _heads(self) -> list[Any]:
        """What every file says of itself."""
        _, parquet = import_arrow()
        heads = []
        for path in self.paths:
            with _readable(path), parquet.ParquetFile(path) as file:
                heads.append((file.schema_arrow, file.metadata.num_rows))
        first = heads[0][0].remove_metadata()
        for path, (schema, _) in zip(self.paths, heads, strict=True):
            twice = [name for name in schema.names if schema.names.count(name) > 1]
            if twice:
                raise DataError(f"{path}: two columns are called {twice[0]!r}: write the file with one of them")
            if set(schema.names) != set(first.names):
                raise DataError(
                    f"{path}: it has the columns {', '.join(schema.names)}, but {self.paths[0].name} beside it has "
                    f"{', '.join(first.names)}: files of one split must have the same"
                )
        return heads

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns there are."""
        return tuple(name for name in self._heads[0][0].names if not name.startswith(INDEX))

    @cached_property
    def count(self) -> int:
        """Number of rows."""
        return sum(rows for _, rows in self._heads)

    @cached_property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """The names of classes, as Hugging Face writes them into a file's metadata."""
        return class_names_in(self._heads[0][0].metadata or {})

    def column(self, name: str) -> Any:
        """A column of all files, one after the other.

        Raises:
            DataError: a broken file.
        """
        pyarrow, parquet = import_arrow()
        chunks: list[Any] = []
        for path in self.paths:
            with _readable(path), parquet.ParquetFile(path, memory_map=True) as file:
                chunks += file.read(columns=[name]).column(name).chunks
        try:
            return pyarrow.chunked_array(chunks)
        except pyarrow.ArrowException as error:
            raise DataError(
                f"{self.paths[0].parent}: the column {name!r} is of different types in the files of one split: {error}"
            ) from error

    def head(self, name: str, count: int) -> list[Any]:
        """The first values of a column; of its later parts, nothing is read.

        Raises:
            DataError: a broken file.
        """
        _, parquet = import_arrow()
        found: list[Any] = []
        for path in self.paths:
            with _readable(path), parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=count, columns=[name]):
                    found += batch.column(0).to_pylist()
                    if len(found) >= count:
                        return found[:count]
        return found


def class_names_in(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """The names of classes that Hugging Face writes into an Arrow schema's metadata; none where it says nothing."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {
            name: tuple(map(str, feature["names"]))
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def import_arrow() -> tuple[Any, Any]:
    """The packages `pyarrow` and `pyarrow.parquet`.

    Raises:
        MissingExtraError: they are not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError.of("pyarrow", "data") from error
    return pyarrow, parquet


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Translate complaints about a file's content; refusals of the disk have a number."""
    pyarrow, _ = import_arrow()
    try:
        with storage_errors(path, "read"):
            try:
                yield
            except OSError as error:
                if error.errno is None:
                    raise _broken(path, error) from error
                raise
    except pyarrow.ArrowException as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path}: this is no parquet file that can be read ({str(error).splitlines()[0]}): was it copied completely?"
    )
