"""Packages are fetched by their registry's client, verified, and never half there."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks.assets.packages import Package, fetch

from paretomerge.errors import DataError, FailureError

CONTENT = b"what was pinned"
PACKAGE = Package("thing==1.0", "thing-1.0.whl", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stands in for the registries' clients: writes these files where it is run, and notes the commands."""
    told: dict[str, Any] = {"files": {PACKAGE.file: CONTENT}, "commands": [], "error": None}

    def run(command: list[str], *, cwd: Path, **_: Any) -> None:
        told["commands"].append(command)
        if told["error"]:
            raise told["error"]
        for name, content in told["files"].items():
            (cwd / name).write_bytes(content)

    monkeypatch.setattr(subprocess, "run", run)
    return told


def test_a_package_is_downloaded_once(client: dict[str, Any], tmp_path: Path) -> None:
    for _ in range(2):
        place = fetch(PACKAGE, tmp_path / "new")
        assert place == tmp_path / "new" / PACKAGE.file
        assert place.read_bytes() == CONTENT
    assert len(client["commands"]) == 1
    assert list((tmp_path / "new").iterdir()) == [place]


@pytest.mark.parametrize(
    ("source", "beginning"),
    [("pip", "-m pip download --quiet --no-deps"), ("npm", "npm pack --silent"), ("apt-deb", "apt-get download")],
)
def test_each_registry_has_its_client(source: Any, beginning: str) -> None:
    command = replace(PACKAGE, source=source, options=("--option",)).command
    assert beginning in " ".join(command)
    assert command[-2:] == ["--option", "thing==1.0"]


def test_another_content_than_was_pinned_is_refused_and_leaves_nothing(client: dict[str, Any], tmp_path: Path) -> None:
    client["files"] = {PACKAGE.file: b"something else"}
    digest = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(DataError, match=f"has sha256 {digest}, expected {PACKAGE.sha256}: delete it and try again"):
        fetch(PACKAGE, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_there_is_verified_too(client: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / PACKAGE.file).write_bytes(b"cut off")
    with pytest.raises(DataError, match="delete it and try again"):
        fetch(PACKAGE, tmp_path)
    assert not client["commands"]


def test_another_file_than_was_named_is_refused(client: dict[str, Any], tmp_path: Path) -> None:
    client["files"] = {"thing-1.1.whl": CONTENT}
    with pytest.raises(FailureError, match=r"brought thing-1\.1\.whl instead of thing-1\.0\.whl"):
        fetch(PACKAGE, tmp_path)


def test_a_client_that_is_not_installed_is_named(client: dict[str, Any], tmp_path: Path) -> None:
    client["error"] = FileNotFoundError("npm")
    with pytest.raises(FailureError, match="is fetched with npm, which is not installed"):
        fetch(replace(PACKAGE, source="npm"), tmp_path)


def test_what_a_failing_client_said_last_is_told(client: dict[str, Any], tmp_path: Path) -> None:
    client["error"] = subprocess.CalledProcessError(1, "pip", stderr="notice\nno such version\n")
    with pytest.raises(FailureError, match="failed with no such version: check the network"):
        fetch(PACKAGE, tmp_path)
    assert not list(tmp_path.iterdir())
