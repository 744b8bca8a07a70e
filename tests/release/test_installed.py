"""Wheel and source distribution work without the sources: an environment of their own, with borrowed packages."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from tests.release.conftest import ROOT

pytestmark = pytest.mark.slow

CONSUMER = """
import paretomerge as pm


def shown(front: pm.Front) -> None:
    chosen = pm.choose(front, pm.Knee())
    reveal_type(chosen.point.weights)
    pm.simplex_grid("three", 2)
"""
SETTINGS = """
[mypy]
[mypy-torch.*,numpy.*,pydantic.*,scipy.*,matplotlib.*,pandas.*,transformers.*]
follow_imports = skip
ignore_missing_imports = True
"""
"""Minutes are spent on the types of others otherwise."""


@pytest.fixture(params=["wheel", "source"])
def installed(request: pytest.FixtureRequest, distributions: dict[str, Path], tmp_path: Path) -> Path:
    """The python of an environment with the distribution; its dependencies are those of this environment."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    borrowed = environment / "lib" / f"python{version}" / "site-packages" / "borrowed.pth"
    borrowed.write_text(sysconfig.get_paths()["purelib"] + "\n")
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--force-reinstall"]
    file = distributions[request.param]
    done = subprocess.run(
        [python, "-m", "pip", "install", *options, file], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    return python


def test_a_newcomers_first_minute(installed: Path, tmp_path: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    script = [installed, "-I", Path(__file__).with_name("use_installed.py"), version]
    done = subprocess.run(script, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert f"paretomerge {version} works where it is installed" in done.stdout


def test_type_checkers_see_the_types_of_the_installed_package(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "consumer.py").write_text(CONSUMER)
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    options = ["--python-executable", installed, "--cache-dir", tmp_path / "cache", "--no-error-summary"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "consumer.py"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    found = [line for line in done.stdout.splitlines() if line.startswith("consumer.py")]
    assert len(found) == 2, done.stdout + done.stderr
    assert 'Revealed type is "' in found[0]
    assert "dict[" in found[0].lower()
    assert "float" in found[0]
    assert 'Argument 1 to "simplex_grid" has incompatible type "str"; expected "int"' in found[1]
