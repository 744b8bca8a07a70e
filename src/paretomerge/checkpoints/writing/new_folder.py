"""A folder of several parts that appears under its name complete, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from paretomerge.checkpoints.atomic import (
    make_folders,
    remove_abandoned,
    replace_folder,
    storage_errors,
    sync_folder,
    temporary_beside,
)
from paretomerge.checkpoints.writing.writer import require_free_target
from paretomerge.errors import StorageError


@contextmanager
def new_folder(target: Path, overwrite: bool) -> Iterator[Path]:
    """A name to make a folder under, which gets the target's name at the end of the `with` block.

    Left by an error or an interrupt, it removes what was written and the target is as it was.

    Args:
        target: the folder to make.
        overwrite: replace a checkpoint of that name.

    Raises:
        CheckpointError: the name is taken.
        StorageError: the disk refused; messages of what is done within name the target.
    """
    target = Path(target).expanduser().absolute()
    require_free_target(target, overwrite)
    temporary = temporary_beside(target)
    made = temporary / "folder"
    folders: list[Path] = []
    try:
        with storage_errors(target):
            folders = make_folders(target.parent)
            remove_abandoned(target)
            replaces = require_free_target(target, overwrite)  # it may have been put back
            temporary.mkdir()
        yield made
        with storage_errors(target):
            if replaces:
                replace_folder(made, target)
            else:
                os.rename(made, target)
                sync_folder(target.parent)
    except StorageError as error:
        raise StorageError(str(error).replace(str(made), str(target))) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for folder in folders:
            with suppress(OSError):  # it is in use, as after a success
                folder.rmdir()
