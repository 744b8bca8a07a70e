"""Reading a range of bytes of a file, and noticing that the file was replaced or written to since it was opened.

Offsets of one file, used on another, give wrong values without any error, so every reader remembers the stamp
of what it opened and compares it before it reads.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.errors import StorageError

Stamp = tuple[int, int, int]
"""Inode, time of the last change in nanoseconds, size in bytes."""


def stamp_of(handle: IO[bytes]) -> Stamp:
    """The stamp of an open file."""
    status = os.fstat(handle.fileno())
    return status.st_ino, status.st_mtime_ns, status.st_size


def require_unchanged(path: Path, stamp: Stamp) -> None:
    """Raise `StorageError` if the file is gone, was replaced, or was written to since it had `stamp`."""
    with storage_errors(path, "read"), path.open("rb") as handle:
        _require_stamp(path, handle, stamp)


def read_range(path: Path, stamp: Stamp, start: int, count: int, buffer: Tensor | None, what: str) -> Tensor:
    """`count` bytes from `start`, as uint8 `[count]`: in `buffer` (uint8 `[>= count]`), or in fresh memory.

    Args:
        path: the file.
        stamp: what it must still have.
        start: the first byte, counted from the start of the file.
        count: how many.
        buffer: where the bytes go.
        what: the name of what is read, for messages.

    Raises:
        StorageError: the disk refused, or the file changed since it was opened.
    """
    held = torch.empty(count, dtype=torch.uint8) if buffer is None else buffer[:count]
    with storage_errors(path, "read"), path.open("rb", buffering=0) as handle:
        _require_stamp(path, handle, stamp)
        handle.seek(start)
        view, filled = held.numpy().data, 0
        while filled < count:  # one call may give less than asked for
            given = handle.readinto(view[filled:])
            if not given:
                raise StorageError(f"{path}: ended inside {what!r}; the file changed while it was read")
            filled += given
    return held


def _require_stamp(path: Path, handle: IO[bytes], stamp: Stamp) -> None:
    if stamp_of(handle) != stamp:
        raise StorageError(f"{path}: was replaced since it was opened: open it again")
