"""What the project says about itself agrees with itself."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.release.conftest import ROOT

from paretomerge.exports.citations import MAP, VARIATIONAL


@cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def plain(requirement: str) -> str:
    """The normalised name of a requirement: `PyYAML>=6` → `pyyaml`."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]).lower()


def packages_of(extra: str) -> set[str]:
    """What an extra brings, with the extras that it names."""
    found: set[str] = set()
    for requirement in project()["optional-dependencies"][extra]:
        inner = re.fullmatch(r"paretomerge\[(.*)\]", requirement)
        found |= set().union(*map(packages_of, inner[1].split(","))) if inner else {plain(requirement)}
    return found


def missing_extras() -> list[tuple[str, str, str]]:
    """Every `MissingExtraError.of(package, extra)` of the sources with two literal words."""
    found = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "MissingExtraError.of":
                words = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
                if len(words) == 2:
                    found.append((path.relative_to(ROOT).as_posix(), *words))
    return found


def test_an_extra_that_an_error_names_brings_the_package_that_is_missing() -> None:
    errors = missing_extras()
    assert len(errors) > 10
    wrong = [
        error for error in errors
        if error[2] not in project()["optional-dependencies"] or plain(error[1]) not in packages_of(error[2])
    ]  # fmt: skip
    assert wrong == []


def test_the_extra_of_everything_brings_every_extra() -> None:
    every = set(project()["optional-dependencies"]) - {"all", "dev"}
    assert packages_of("all") == set().union(*map(packages_of, every))


def test_the_tested_versions_cover_what_is_installed_and_never_torchvision() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {plain(line) for line in lines if line and not line.startswith("#")}
    wanted = {plain(requirement) for requirement in project()["dependencies"]} | packages_of("dev") | packages_of("hf")
    assert wanted <= pinned
    assert not [name for name in pinned | packages_of("all") if "torchvision" in name]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==\S+", line) for line in lines if line and not line.startswith("#"))


def test_the_citation_names_this_version_and_both_works() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == project()["version"]
    assert citation["license"] == project()["license"]
    assert citation["title"].removeprefix("paretomerge: ") == project()["description"].removesuffix(".")
    assert len(citation["references"]) == 2
    for reference, entry in zip(citation["references"], (VARIATIONAL, MAP), strict=True):
        bare = re.sub(r"[{}]", "", entry)
        assert reference["title"] in bare
        assert reference["identifiers"][0]["value"] in entry
        assert str(reference["year"]) in entry
        listed = re.search(r"author\s*=\s*\{(.*)\},\n", entry)
        assert listed is not None
        assert len(reference["authors"]) == listed[1].count(" and ") + 1


def test_the_changelog_keeps_its_form() -> None:
    """Keep a Changelog: unreleased first, then versions with dates, and only its kinds of change."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    heads = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert heads[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", head) for head in heads[1:])
    kinds = set(re.findall(r"^### (.*)$", text, flags=re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert "Added" in kinds


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_between_files_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text("utf-8")):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), f"{name} links to {target}"


def test_make_targets_that_are_told_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md"):
        for words in re.findall(
            r"`make ([a-z -]+)`|^\$ make ([a-z-]+)", (ROOT / name).read_text("utf-8"), re.MULTILINE
        ):
            assert set(" ".join(words).split()) <= targets


def test_the_ending_of_typed_packages_is_there() -> None:
    assert (Path(ROOT) / "src/paretomerge/py.typed").is_file()
    assert "Typing :: Typed" in project()["classifiers"]
