"""What tells that a stored file is the one that was written: its size and its SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

_CHUNK = 1 << 22

Fingerprint = list[int | str]
"""Size in bytes and SHA-256, a list as JSON gives it back."""


def fingerprints(folder: Path) -> dict[str, Fingerprint]:
    """File name → fingerprint of the files in a folder; empty where there is none."""
    if not folder.is_dir():
        return {}
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return {path.name: fingerprint(path) for path in files}


def fingerprint(path: Path) -> Fingerprint:
    """Size and SHA-256 of a file, which is read once."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return [path.stat().st_size, digest.hexdigest()]
