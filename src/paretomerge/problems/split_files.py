"""Which files of a folder hold the examples of which split, and how any of them is read.

A split is a file (`train.jsonl`), several (`train-00000-of-00002.parquet`), a folder of files (`train/0000.parquet`) or
a saved data set; all of them beside each other, or in a folder `data`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.errors import DataError
from paretomerge.problems.parquet_files import read_parquet
from paretomerge.problems.row_files import read_rows
from paretomerge.problems.saved_datasets import is_saved_set, is_saved_splits, read_saved_set
from paretomerge.problems.tables import Table
from paretomerge.types import Split

NAMES: dict[Split, tuple[str, ...]] = {
    "training": ("training", "train"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""What the file of a split may be called."""

PARQUET = ".parquet"
SUFFIXES = (".jsonl", ".csv", ".tsv", ".json", PARQUET)
"""What files of examples end in."""

_PART = re.compile(r"(?P<name>[a-z]+)(?:-(?P<number>\d+)-of-(?P<total>\d+)(?:-[0-9a-f]+)?|[-_]\d+)?")
"""`train`, `train-00000-of-00002` (older ones with a digest behind) or `train_1`."""


def read_table(path: Path) -> Table:
    """All rows of a file of examples, or of a data set that `save_to_disk` wrote.

    Raises:
        DataError: another kind of file, no rows, or content that cannot be read, with its line.
        MissingExtraError: pyarrow or datasets is needed and not installed.
        StorageError: the disk refused to read.
    """
    return _read([path], str(path))


def read_folder(task: str, folder: Path) -> Table | dict[Split, Table]:
    """The examples of a task in a folder: those of every split, or one saved data set.

    Raises:
        DataError: no examples there, a split that is there twice or in part, or what cannot be read.
        MissingExtraError: pyarrow or datasets is needed and not installed.
        StorageError: the disk refused to read.
    """
    if is_saved_set(folder):
        return read_saved_set(folder)
    found = {split: files for split in NAMES if (files := split_files(task, split, folder))}
    if not found and (folder / "data").is_dir() and not is_saved_splits(folder):
        inner = folder / "data"
        found = {split: files for split in NAMES if (files := split_files(task, split, inner))}
    if not found:
        raise DataError(_nothing(task, folder))
    return {split: _read(files, _called(files)) for split, files in found.items()}


def _read(paths: Sequence[Path], source: str) -> Table:
    first = paths[0]
    if first.is_dir() and is_saved_set(first):
        return read_saved_set(first)
    if first.suffix not in SUFFIXES:
        raise DataError(
            f"{first}: examples are read from {_listed(SUFFIXES)} files and from folders that save_to_disk of Hugging "
            f"Face datasets wrote, not from {first.suffix or first}"
        )
    if first.suffix == PARQUET:
        return read_parquet(paths, source)
    tables = [read_rows(path) for path in paths]
    if len(tables) == 1:
        return tables[0]
    rows = tuple(row for table in tables for row in table.rows)
    return Table(source, rows, range(1, len(rows) + 1), "row", first.parent)


def split_files(task: str, split: Split, folder: Path) -> list[Path]:
    """The files (or the saved set) that hold a split; none where it is absent."""
    with storage_errors(folder, "read"):
        forms = _forms(split, folder)
    for files in forms.values():
        _require_all_parts(files, NAMES[split])
    if len(forms) > 1:
        first, second = sorted((files[0] for files in forms.values()), key=lambda path: _rank(split, path))[:2]
        raise DataError(
            f"{folder}: the {split} examples of task {task!r} are in two files, {first.relative_to(folder)} and "
            f"{second.relative_to(folder)}: keep one of them"
        )
    return next(iter(forms.values()), [])


def _forms(split: Split, folder: Path) -> dict[tuple[str, str], list[Path]]:
    """Everything that is called like a split: files of one name and kind together."""
    forms: dict[tuple[str, str], list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        is_folder = entry.is_dir()
        part = _PART.fullmatch(entry.name if is_folder else entry.stem)
        if part is None or part["name"] not in NAMES[split]:
            continue
        held = sorted(entry.iterdir()) if is_folder and not is_saved_set(entry) else [entry]
        for file in held:
            if is_saved_set(file) or (file.is_file() and file.suffix in SUFFIXES):
                name = f"{entry.name}/" if file is not entry else part["name"]
                forms.setdefault((name, file.suffix), []).append(file)
    return forms


def _require_all_parts(files: Sequence[Path], names: Sequence[str]) -> None:
    """Refuse a split in parts of which some are missing, or that is there both whole and in parts."""
    parts = [part for file in files if (part := _PART.fullmatch(file.stem)) and part["total"]]
    totals, numbers = {int(part["total"]) for part in parts}, {int(part["number"]) for part in parts}
    if totals and (len(totals) > 1 or len(numbers) != max(totals) or len(files) != len(numbers)):
        raise DataError(
            f"{files[0].parent}: {_listed([file.name for file in files], 'and')} are not the {max(totals)} parts of "
            "one split: copy the missing ones, or remove what is left of another download"
        )
    whole = [file for file in files if file.stem in names]
    if whole and len(files) > 1:
        raise DataError(
            f"{files[0].parent}: {whole[0].name} lies beside {len(files) - 1} numbered part(s) of the same split: keep "
            "one or the other"
        )


def _rank(split: Split, path: Path) -> tuple[int, int]:
    name = path.stem if path.is_file() else path.name
    return (
        NAMES[split].index(name) if name in NAMES[split] else len(NAMES[split]),
        SUFFIXES.index(path.suffix) if path.suffix in SUFFIXES else len(SUFFIXES),
    )


def _called(files: Sequence[Path]) -> str:
    """How messages call the files of a split."""
    if len(files) == 1:
        return str(files[0])
    return f"{files[0].parent}/{files[0].name} and {len(files) - 1} more"


def _nothing(task: str, folder: Path) -> str:
    held = sorted(file.name for file in folder.iterdir())
    tables = [name for name in held if Path(name).suffix in SUFFIXES]
    remedy = f"; to have one file shared out, give its own path, {folder / tables[0]}" if len(tables) == 1 else ""
    return (
        f"{folder}: there are no examples of task {task!r}: expected training, validation and test, each as "
        f"{_listed(SUFFIXES)} or a data set written by save_to_disk; the folder holds "
        f"{', '.join(held[:6]) or 'nothing'}{remedy}"
    )


def _listed(names: Sequence[str], word: str = "or") -> str:
    return f" {word} ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
