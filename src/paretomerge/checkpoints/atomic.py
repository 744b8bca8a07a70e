"""Writing so that the final name holds either the whole content or what was there before.

The content goes to a temporary name in the same folder, is forced to the disk (fsync), and is then renamed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import hashlib
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from paretomerge.errors import StorageError

ASIDE = ".replaced"  # the suffix of a folder whose name is being taken over
_FORGOTTEN = 7 * 86400.0  # seconds after which nobody on another machine is still writing
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of linux/fs.h
_CANNOT_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}


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
    """A new hidden name in the folder of `path`, which tells machine and process; nothing is made."""
    return path.with_name(f".{path.name}.{uuid4().hex[:12]}@{_machine()}-{os.getpid()}.partial")


def replace_folder(temporary: Path, target: Path) -> None:
    """Give a complete folder the name of one that is there, which is removed; both are on one disk.

    Linux exchanges the two names in one step on most file systems. Elsewhere there is no one step for it: what was
    there is moved aside first, and back if the second step fails. A process that is killed between the two leaves
    nothing under the name; `remove_abandoned` then puts it back.
    """
    if _exchange(temporary, target):
        sync_folder(target.parent)
        shutil.rmtree(temporary, ignore_errors=True)
        return
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


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; false where the system or the disk knows no such step."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(other))


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


def remove_abandoned_file(path: Path) -> None:
    """Remove what a process that was killed had written of the file `path`."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        if left.is_file() and _is_abandoned(left, ".partial"):
            with contextlib.suppress(OSError):
                left.unlink()


def _left_beside(path: Path, suffix: str) -> list[Path]:
    """Folders of processes that are gone."""
    beside = path.parent.glob(f".{glob.escape(path.name)}.*{suffix}")
    return [left for left in beside if left.is_dir() and _is_abandoned(left, suffix)]


def _is_abandoned(left: Path, suffix: str) -> bool:
    """Whether its process is gone; one of another machine's is when nothing was changed for a week."""
    before, _, owner = left.name.removesuffix(suffix).rpartition("-")
    if not owner.isdigit():
        return False
    _, at, machine = before.rpartition("@")
    if at and machine != _machine():
        try:
            return time.time() - left.stat().st_mtime > _FORGOTTEN
        except OSError:
            return False
    return not _is_running(int(owner))


def _machine() -> str:
    """Tells machines that share a disk apart: a process number means nothing on another one."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


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
            remove_abandoned_file(path)
            temporary.write_bytes(content)
            sync_file(temporary)
            os.replace(temporary, path)
            sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path
