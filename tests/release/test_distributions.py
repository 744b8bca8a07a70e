"""What is in the wheel and in the source distribution."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

from tests.release.conftest import ROOT


def tracked(*folders: str) -> set[str]:
    """Files that a clone has."""
    done = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=False)
    return {name for name in done.stdout.splitlines() if (ROOT / name).is_file()}


def test_the_wheel_holds_the_whole_package_and_nothing_else(distributions: dict[str, Path]) -> None:
    names = set(zipfile.ZipFile(distributions["wheel"]).namelist())
    assert {"paretomerge/py.typed", "paretomerge/reports/template/report.html"} <= names
    assert {name.removeprefix("src/") for name in tracked("src")} <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"paretomerge"}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".sqlite", ".safetensors"))]


def test_the_source_distribution_holds_what_its_own_tests_need(distributions: dict[str, Path]) -> None:
    with tarfile.open(distributions["source"]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    wanted = tracked("src", "tests", "docs", "examples", "benchmarks")
    assert wanted <= names
    assert {"Makefile", "constraints.txt", "oracles.txt", "mkdocs.yml", "pyproject.toml", "CITATION.cff"} <= names
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith((".venv", ".git/", "shared"))]
    assert distributions["source"].stat().st_size < 20e6


def test_the_metadata_is_complete(distributions: dict[str, Path]) -> None:
    with zipfile.ZipFile(distributions["wheel"]) as archive:
        [place] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = message_from_bytes(archive.read(place))
        [entries] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "paretomerge = paretomerge.cli:main" in archive.read(entries).decode()
    assert metadata["Name"] == "paretomerge"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_payload().startswith("# paretomerge")
