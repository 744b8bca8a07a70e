"""Writing so that the final name holds either the whole content or what was there before.

The content goes to a temporary name in the same folder, is forced to the disk (fsync), and is then renamed.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from paretomerge.errors import StorageError


@contextlib.contextmanager
def storage_errors(path: Path, verb: str = "write") -> Iterator[None]:
    """Translate `OSError` into a `StorageError` that names the path, the reason and the free space."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        space = f" ({free_bytes(path) / 1e9:.2f} GB free there)" if verb == "write" else ""
        raise StorageError(
            f"cannot {verb} {path}: {reason}{space}. Check the permissions, the disk and its quota, and run again"
        ) from error


def free_bytes(path: Path) -> int:
    """Free bytes on the disk of `path` (or of its nearest existing parent); 0 if that is unknown."""
    for place in (path, *path.absolute().parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(place).free
    return 0


def temporary_beside(path: Path) -> Path:
    """A new hidden name in the folder of `path`; nothing is made."""
    return path.with_name(f".{path.name}.{uuid4().hex[:12]}-{os.getpid()}.partial")


def remove_abandoned(path: Path) -> None:
    """Remove the temporary folders of `path` that a process left behind when it was killed.

    Its number is part of the name: what belongs to a process that is still running stays.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        owner = left.name.removesuffix(".partial").rsplit("-", 1)[-1]
        if left.is_dir() and owner.isdigit() and not _is_running(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def sync_file(path: Path) -> None:
    """Force the content of a file to the disk."""
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())


def sync_folder(path: Path) -> None:
    """Force the names in a folder to the disk (needed after a rename; Windows has no such call)."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> Path:
    """Write a text file (UTF-8) atomically; see `write_bytes`."""
    return write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file atomically; what was there before stays until the new content is safe.

    Raises:
        StorageError: the disk refused; nothing half-written is left.
    """
    temporary = temporary_beside(path)
    try:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            sync_file(temporary)
            os.replace(temporary, path)
            sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path
