"""Data sets of Hugging Face that `save_to_disk` wrote: one set, or one for every split.

The package `datasets` reads them; nothing in the folder is executed, and nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from paretomerge.errors import DataError, MissingExtraError
from paretomerge.problems.columnar import ColumnarRows
from paretomerge.problems.models import first_line
from paretomerge.problems.tables import Table

SPLITS_FILE, SET_FILES = "dataset_dict.json", ("state.json", "dataset_info.json")


def is_saved_set(folder: Path) -> bool:
    """Whether a folder is one data set."""
    return all((folder / name).is_file() for name in SET_FILES)


def is_saved_splits(folder: Path) -> bool:
    """Whether a folder holds a data set for every split."""
    return (folder / SPLITS_FILE).is_file()


def read_saved_set(folder: Path) -> Table:
    """One data set; its columns are read when they are asked for.

    Raises:
        DataError: a folder that `datasets` cannot read, or no rows.
        MissingExtraError: datasets is not installed.
    """
    if not any(folder.glob("*.arrow")):
        raise DataError(
            f"{folder}: there is no .arrow file beside {SET_FILES[0]}: the data set is empty, or was not copied "
            "completely"
        )
    saved = SavedSet(folder.absolute())
    if not saved.count:
        raise DataError(f"{folder}: the data set holds no examples")
    return Table(str(folder), ColumnarRows(saved), range(1, saved.count + 1), "row", folder)


@dataclass(frozen=True, eq=False)
class SavedSet:
    """Columns of one data set."""

    folder: Path

    @cached_property
    def _read(self) -> Any:
        try:
            import datasets
        except ImportError as error:
            raise MissingExtraError.of("datasets", "data") from error
        try:
            found = datasets.load_from_disk(str(self.folder))
        except Exception as error:
            line = first_line(error)
            raise DataError(
                f"{self.folder}: datasets cannot read this folder ({line}): was it copied completely, and written by "
                "save_to_disk of a version that is not newer?"
            ) from error
        # Arrow as it is stored: images stay encoded, classes stay numbers.
        return found.with_format("arrow")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns there are."""
        return tuple(self._read.column_names)

    @cached_property
    def count(self) -> int:
        """Number of rows."""
        return len(self._read)

    @cached_property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """The names of classes, of columns that are `ClassLabel`s."""
        found = {name: getattr(feature, "names", None) for name, feature in self._read.features.items()}
        return {name: tuple(map(str, names)) for name, names in found.items() if names}

    def column(self, name: str) -> Any:
        """A column."""
        return self._read.select_columns([name])[:].column(name)

    def head(self, name: str, count: int) -> list[Any]:
        """The first values of a column."""
        rows = self._read.select_columns([name])[: min(count, self.count)]
        return rows.column(name).to_pylist()
