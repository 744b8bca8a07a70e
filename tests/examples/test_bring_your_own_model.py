"""The example's own commands, on a copy of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from paretomerge.cli import main

pytest.importorskip("sklearn")
EXAMPLE = Path(__file__).parents[2] / "examples" / "bring_your_own_model"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("example") / "own"
    shutil.copytree(EXAMPLE, target, ignore=shutil.ignore_patterns("run", "*-run", "__pycache__"))
    subprocess.run([sys.executable, "train.py", "run"], cwd=target, check=True, timeout=300)
    return target


def test_the_finetunes_conflict_and_the_front_trades_them_off(folder, capsys):
    assert main(["check", str(folder / "recipe.yaml")]) == 0
    capsys.readouterr()
    assert main(["front", str(folder / "recipe.yaml"), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)["front"]["values"]
    upright, turned = zip(*values, strict=True)
    assert max(upright) > 1.5 * min(upright)
    assert max(turned) > 1.5 * min(turned)
    assert main(["choose", str(folder / "recipe-run"), "--knee"]) == 0
    assert main(["export", str(folder / "recipe-run"), str(folder / "merged"), "--check"]) == 0


def test_a_program_that_prints_json_is_an_evaluator(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert main(["front", "recipe-command.yaml", "--json", "--evaluations", "3"]) == 0
    front = json.loads(capsys.readouterr().out)["front"]
    assert [objective["name"] for objective in front["objectives"]] == ["accuracy[upright]", "accuracy[turned]"]
    assert all(0 <= value <= 1 for row in front["values"] for value in row)
