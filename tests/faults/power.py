"""What a power failure leaves: of every file what was last forced to the disk, and perhaps the names before.

`interpose.c` logs what it sees and keeps files as they were when they were forced to the disk. The disk that is made
of this is the worst that POSIX allows: nothing survives that nobody waited for. Names (renames, new and removed files)
count as safe once their folder was forced to the disk.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class _Step:
    number: int
    what: str
    inode: int
    first: Path
    second: str


def fail_power(log: str, shadow: Path, names_too: bool) -> None:
    """Turn the disk back to what a power failure would leave of the operations in the log."""
    steps = [_step(line) for line in log.splitlines()]
    unsynced, dirty = _unsafe(steps)
    for step in reversed(unsynced if names_too else []):
        _undo(step, shadow)
    for inode, path in dirty.items():
        place = _named(path, inode)
        if place is None:
            continue
        kept = shadow / str(inode)
        content = kept.read_bytes() if kept.exists() else b""
        place.write_bytes(content)
    for step in steps:  # shared memory of SQLite, which no program waits for
        if step.first.name.endswith("-shm"):
            step.first.unlink(missing_ok=True)


def _step(line: str) -> _Step:
    number, what, inode, first, second = line.split("\t")
    return _Step(int(number), what, int(inode), Path(first), second)


def _unsafe(steps: list[_Step]) -> tuple[list[_Step], dict[int, Path]]:
    """Changes of names whose folder was not forced to the disk, and files whose content was not."""
    names: list[_Step] = []
    dirty: dict[int, Path] = {}
    for step in steps:
        if step.what in ("created", "renamed", "exchanged", "removed"):
            names.append(step)
        if step.what in ("created", "write", "truncate") or (step.what == "create" and step.inode):
            dirty[step.inode] = step.first
        if step.what == "synced":
            dirty.pop(step.inode, None)
            names = [other for other in names if _folder(other) != step.first]
            # A file that is forced to the disk brings its name along, on the file systems that are in use.
            names = [other for other in names if not (other.what == "created" and other.first == step.first)]
    return names, dirty


def _folder(step: _Step) -> Path:
    return Path(step.second).parent if step.what == "renamed" else step.first.parent


def _undo(step: _Step, shadow: Path) -> None:
    if step.what == "created":
        if step.first.is_file() and step.first.stat().st_ino == step.inode:
            step.first.unlink()
    elif step.what == "renamed" and Path(step.second).exists():
        os.rename(step.second, step.first)
        replaced = shadow / f"replaced-{step.number}"
        if replaced.exists():
            shutil.copy2(replaced, step.second)
    elif step.what == "removed":
        kept = shadow / f"removed-{step.number}"
        if step.second == "folder":
            step.first.mkdir(exist_ok=True)
        elif kept.exists() and step.first.parent.is_dir() and not step.first.exists():
            shutil.copy2(kept, step.first)


def _named(path: Path, inode: int) -> Path | None:
    """Where the file is by now; it may have been renamed since it was written."""
    root = path
    while not root.exists():
        root = root.parent
    for place in [path, *(root if root.is_dir() else root.parent).rglob("*")]:
        if place.is_file() and place.stat().st_ino == inode:
            return place
    for place in path.parent.parent.rglob("*") if path.parent.parent.is_dir() else ():
        if place.is_file() and place.stat().st_ino == inode:
            return place
    return None
