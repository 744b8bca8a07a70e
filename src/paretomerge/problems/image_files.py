"""Where images and their classes are: folders called by class, archives of arrays, or tables.

Folders are `split/class/images`, or `class/images`, which is shared out. Archives are `.npz` files of NumPy with
`images` and `labels`, one per split, or one that is shared out.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.errors import DataError, nearest
from paretomerge.problems.columns import IMAGE_SUFFIXES
from paretomerge.problems.saved_datasets import is_saved_set, is_saved_splits
from paretomerge.problems.sources import Found, Reading
from paretomerge.problems.split_files import NAMES, SUFFIXES, read_folder, read_table, split_files
from paretomerge.problems.tables import Table, table_of
from paretomerge.types import Split

ARCHIVE = ".npz"


def image_reading(image: str, label: str) -> Reading:
    """How paths become tables of images with labels.

    Args:
        image: the column of images in tables; that of folders and archives is called so, too.
        label: the column of labels, likewise.
    """

    def table(path: Path) -> Table:
        if path.suffix == ARCHIVE:
            return read_archive(path, image, label)
        if path.is_dir() and not is_saved_set(path):
            return read_classes(path, image, label)
        return read_table(path)

    def folder(task: str, path: Path) -> Found:
        return _read_folder(task, path, image, label)

    return Reading(table, folder)


def read_classes(folder: Path, image: str, label: str) -> Table:
    """Images in folders called by their class, at any depth.

    Raises:
        DataError: no such folders, or one only.
    """
    with storage_errors(folder, "read"):
        classes = {inner.name: found for inner in _folders(folder) if (found := _images(inner))}
    if len(classes) < 2:
        raise DataError(
            f"{folder}: expected two or more folders of images, each called by its class, found "
            f"{next(iter(classes)) + ' only' if classes else 'none'}; a table with names of files and labels is given "
            "by its own path"
        )
    rows = [
        {image: file.relative_to(folder).as_posix(), label: name} for name, files in classes.items() for file in files
    ]
    return Table(str(folder), tuple(rows), range(1, len(rows) + 1), "image", folder)


def read_archive(path: Path, image: str, label: str) -> Table:
    """Arrays `images` (`[n, height, width]` or `[n, height, width, channels]`) and `labels` (`[n]`) of NumPy.

    Raises:
        DataError: no archive, arrays that are missing, do not fit each other, or hold Python objects.
    """
    try:
        with storage_errors(path, "read"):
            archive = np.load(path, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("one array without a name")
            with archive:
                images = _array(archive, path, image, "images")
                labels = _array(archive, path, label, "labels")
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: this is no archive of arrays that can be read ({error}): write it by numpy.savez(path, "
            "images=…, labels=…), without Python objects"
        ) from error
    if images.ndim not in (3, 4) or labels.ndim != 1 or len(images) != len(labels) or not len(images):
        raise DataError(
            f"{path}: images have the shape {list(images.shape)} and labels {list(labels.shape)}: expected [n, height, "
            "width] or [n, height, width, channels], and [n] with the same n of at least 1"
        )
    rows = [{image: pixels, label: value} for pixels, value in zip(images, labels.tolist(), strict=True)]
    return table_of(rows, str(path))


def _array(archive: Any, path: Path, name: str, usual: str) -> np.ndarray:
    found = name if name in archive.files else usual
    if found not in archive.files:
        raise DataError(
            f"{path}: there is no array {usual!r}{nearest(usual, archive.files)}: it holds "
            f"{', '.join(archive.files) or 'nothing'}"
        )
    return np.asarray(archive[found])


def _read_folder(task: str, folder: Path, image: str, label: str) -> Found:
    """Tables where there are some, else archives, else folders of classes."""
    if is_saved_set(folder) or is_saved_splits(folder):
        return read_folder(task, folder)
    places = [place for place in (folder, folder / "data") if place.is_dir()]
    if any(split_files(task, split, place) for place in places for split in NAMES):
        return read_folder(task, folder)
    archives = _named(folder, lambda path: path.suffix == ARCHIVE and path.is_file())
    if archives:
        return {split: read_archive(path, image, label) for split, path in archives.items()}
    classes = _named(folder, lambda path: path.is_dir() and any(_images(inner) for inner in _folders(path)))
    if classes:
        return {split: read_classes(path, image, label) for split, path in classes.items()}
    if any(_images(inner) for inner in _folders(folder)):
        return read_classes(folder, image, label)
    held = sorted(path.name for path in folder.iterdir())
    raise DataError(
        f"{folder}: there are no images of task {task!r}: expected folders split/class/images or class/images, or "
        f"training, validation and test, each as a table ({', '.join(SUFFIXES)}, save_to_disk) or {ARCHIVE}; the "
        f"folder holds {', '.join(held[:6]) or 'nothing'}"
    )


def _named(folder: Path, fits: Any) -> dict[Split, Path]:
    """The file or folder of every split that has one.

    Raises:
        DataError: two of one split.
    """
    found: dict[Split, Path] = {}
    for split, names in NAMES.items():
        there = [path for path in sorted(folder.iterdir()) if path.stem in names and fits(path)]
        if len(there) > 1:
            raise DataError(
                f"{folder}: the {split} examples are there twice, {there[0].name} and {there[1].name}: keep one"
            )
        if there:
            found[split] = there[0]
    return found


def _folders(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith((".", "__"))]


def _images(folder: Path) -> Sequence[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
