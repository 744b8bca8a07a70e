"""Where an export of one file goes."""

from __future__ import annotations

import os
from pathlib import Path

from paretomerge.checkpoints.paths import user_path
from paretomerge.errors import CheckpointError


def free_file(file: str | os.PathLike[str], overwrite: bool) -> Path:
    """The path of a file to write, which must not exist unless it may be replaced.

    Raises:
        CheckpointError: the file exists.
    """
    target = user_path(file)
    if target.exists() and not overwrite:
        raise CheckpointError(f"{target}: the file exists: choose another name, or ask to overwrite it")
    return target
