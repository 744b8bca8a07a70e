"""Names of tasks, from the recipe through every command to the last file, as somebody hostile would choose them."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from tests.tiny import PROBLEM, TASKS, files_below, invoke, make_folder, recipe_of, write_recipe

from paretomerge.checkpoints import open_checkpoint
from paretomerge.runs import RunFolder
from paretomerge.stages import check_integrity

pytestmark = pytest.mark.slow

NAMES = {
    "sums": "</script><script>alert('x')</script><img src=x onerror=alert(1)>",
    "signs": "../../../etc/$(touch hacked)`touch hacked`; touch hacked && rm -rf ~ | 'x' \"y\"",
    "swaps": "C:\\..\\con|*?<>: {task} %s {{0}} é漢🙂 # - [a](javascript:alert(1)) **b** '' null",
}


class Tags(HTMLParser):
    """The tags and their attributes that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny study under hostile names, through every command."""
    outside = tmp_path_factory.mktemp("names")
    folder = make_folder(outside / "a" / "b" / "c" / "study")
    problem = PROBLEM.replace(
        f"TASKS = {json.dumps(TASKS).replace('[', '(').replace(']', ')')}", f"TASKS = {tuple(NAMES.values())!r}"
    )
    assert problem != PROBLEM
    (folder / "problem.py").write_text(problem, encoding="utf-8")
    tasks = {NAMES[task]: {"checkpoint": f"ft-{task}"} for task in TASKS}
    recipe = write_recipe(folder, recipe_of(tasks=tasks))
    run = folder / "recipe-run"
    for words in (
        ["check", recipe],
        ["fit", recipe],
        ["front", recipe],
        ["choose", run, "--knee"],
        ["verify", run, "--points", "1"],
        ["export", run, folder / "exported"],
        ["report", run],
        ["ledger", run],
        ["diagnose", run],
    ):
        answer = invoke(*words)
        assert answer.code == 0, (words[0], answer.err)
    return folder


def test_nothing_is_made_outside_of_the_study_and_nothing_is_run(study: Path) -> None:
    outside = study.parents[3]
    assert {path.name for path in outside.rglob("*") if study not in (path, *path.parents)} == {"a", "b", "c"}
    assert not list(outside.rglob("hacked"))
    assert not [name for name in files_below(study) if ".." in name or "\\" in name]
    assert check_integrity(study / "recipe-run").is_sound


def test_the_page_has_no_tag_or_script_of_a_name(study: Path) -> None:
    text = (study / "recipe-run" / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert not [tag for tag, attributes in tags.found if tag == "img" and attributes.get("src") == "x"]
    assert not [attributes for _, attributes in tags.found if any(name.startswith("on") for name in attributes)]
    assert not [a for _, a in tags.found if str(a.get("href") or "").lower().startswith("javascript")]
    assert not re.search(r"<script[^>]*>\s*alert", text)
    assert "Content-Security-Policy" in text


def test_exported_files_carry_the_names_as_data(study: Path) -> None:
    exported = study / "exported"
    manifest = json.loads((exported / "paretomerge.json").read_text(encoding="utf-8"))
    assert set(manifest["point"]["weights"]) == set(NAMES.values())
    card = (exported / "README.md").read_text(encoding="utf-8")
    body = card.split("\n---\n", 1)[1]
    assert not re.search(r"(?<![\\`\w/])<(script|img)", re.sub(r"`[^`]*`|```.*?```", "", body, flags=re.DOTALL))
    yaml.safe_load(card.split("---")[1])
    assert list(open_checkpoint(exported)) == list(open_checkpoint(study / "base"))


def test_a_choice_says_the_names_as_they_are(study: Path) -> None:
    answer = invoke("choose", study / "recipe-run", "--knee", "--json")
    assert set(answer.json["point"]["weights"]) == set(NAMES.values())


def test_a_copied_run_is_read_by_its_files_and_not_by_its_names(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study / "recipe-run", tmp_path / "run")
    names = sorted(path.name for path in RunFolder(tmp_path / "run").posteriors.iterdir())
    assert [name[0] for name in names] == ["0", "1", "2"]
    assert all(re.fullmatch(r"[\w-]+\.safetensors", name) for name in names)
