"""A new user's path on a stand-in that is trained in seconds: plain Trainer runs, then three commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.problems.tiny_models import bert, reviews, write_jsonl

from paretomerge.cli import main

pytest.importorskip("accelerate")
TRAIN = Path(__file__).parents[2] / "examples" / "sentiment" / "train.py"
TASKS = ("movie", "tweets")
LABELS = {"id2label": {0: "negative", 1: "positive"}, "label2id": {"negative": 0, "positive": 1}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base, data and Trainer's own output, as `prepare.py` and `train.py` of the example leave them."""
    target = tmp_path_factory.mktemp("example") / "run"
    bert(target / "base", **LABELS)
    for seed, task in enumerate(TASKS):
        for split, count in (("training", 200), ("validation", 60), ("test", 60)):
            write_jsonl(target / "data" / task / f"{split}.jsonl", reviews(count, seed=10 * seed + count))
        subprocess.run([sys.executable, str(TRAIN), str(target), task, "--steps", "20"], check=True, timeout=300)
    return target


def test_three_commands_and_ten_lines_lead_from_trainer_runs_to_a_front(folder, capsys):
    finetunes = [str(folder / "finetunes" / task) for task in TASKS]
    assert "paretomerge" not in TRAIN.read_text(encoding="utf-8").partition('"""')[2].partition('"""')[2]
    recipe = folder / "recipe.yaml"
    assert main(["init", str(folder / "base"), *finetunes, "--out", str(recipe)]) == 0
    text = recipe.read_text(encoding="utf-8")
    assert list(yaml.safe_load(text)["tasks"]) == list(TASKS)
    assert len([line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]) <= 10
    capsys.readouterr()
    assert main(["front", str(recipe), "--evaluations", "4", "--json"]) == 0
    front = json.loads(capsys.readouterr().out)["front"]
    assert front["tasks"] == list(TASKS)
    assert len(front["values"]) > 1
    assert main(["report", str(folder / "recipe-run")]) == 0
    assert (folder / "recipe-run" / "report.html").is_file()
