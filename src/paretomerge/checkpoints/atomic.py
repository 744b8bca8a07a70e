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

ASIDE = ".replaced"  # the suffix of a folder whose name is being taken over


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


def replace_folder(temporary: Path, target: Path) -> None:
    """Give a complete folder the name of one that is there, which is removed; both are in one folder.

    There is no one step for it: what was there is moved aside first, and back if the second step fails. A process
    that is killed between the two leaves nothing under the name; `remove_abandoned` then puts it back.
    """
    aside = temporary_beside(target).with_suffix(ASIDE)
    os.rename(target, aside)
    try:
        os.rename(temporary, target)
    except BaseException:
        if not target.exists():
            os.rename(aside, target)
        raise
    sync_folder(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def remove_abandoned(path: Path) -> None:
    """Clean up what a process left beside `path` when it was killed: temporary folders, and what it moved aside.

    Its number is part of the name: what belongs to a process that is still running stays.
    """
    for left in _left_beside(path, ASIDE):
        if path.exists():
            shutil.rmtree(left, ignore_errors=True)
        else:
            os.rename(left, path)
    for left in _left_beside(path, ".partial"):
        shutil.rmtree(left, ignore_errors=True)


def _left_beside(path: Path, suffix: str) -> list[Path]:
    """Folders of processes that are gone."""
    found = []
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{suffix}"):
        owner = left.name.removesuffix(suffix).rsplit("-", 1)[-1]
        if left.is_dir() and owner.isdigit() and not _is_running(int(owner)):
            found.append(left)
    return found


def make_folders(path: Path) -> list[Path]:
    """Make a folder and those above it; returns the ones that were not there, innermost first."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    path.mkdir(parents=True, exist_ok=True)
    return missing


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
