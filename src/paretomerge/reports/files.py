"""Writing a whole file or nothing: temporary file in the same folder, fsync, rename."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from paretomerge.errors import StorageError


def write_atomically(path: Path, content: bytes) -> Path:
    """Write `content` to `path`; an interrupted or refused write leaves what was there before.

    Raises:
        StorageError: the disk refused.
    """
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}. Check that the folder is writable, that the disk "
            "has space, and that the name is not that of a folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # some file systems cannot sync folders; the file itself is safe
        _fsync_folder(path.parent)
    return path


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
