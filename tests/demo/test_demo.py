"""The demo as a newcomer runs it: interrupted, continued, and run again."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.tiny import invoke, read_params, start_cli

from paretomerge.demo.methods import HEADLINE, demo_methods
from paretomerge.demo.trainings import grid
from paretomerge.runs import Journal

pytestmark = pytest.mark.slow

SCORES = ("hypervolume_ratio", "igd_plus", "loss_error", "accuracy_error", "rank_correlation")


def _trained(folder: Path) -> dict[str, int]:
    """Finished checkpoints and when they were written; those in flight have hidden names."""
    found = [*folder.glob("checkpoints/*"), *folder.glob("joint/*/*")]
    return {
        str(path.relative_to(folder)): (path / "model.safetensors").stat().st_mtime_ns
        for path in found
        if not path.name.startswith(".")
    }


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int], dict[str, Any]]:
    """A demo that was killed in the middle of its trainings and then continued."""
    place = tmp_path_factory.mktemp("demo")
    process = start_cli("demo", "--out", "demo", "--workers", "1", folder=place)
    deadline = time.monotonic() + 300
    while len(_trained(place / "demo")) < 7 and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = _trained(place / "demo")
    return place / "demo", before, invoke("demo", "--out", place / "demo", "--workers", 2, "--json").json


def test_a_killed_demo_keeps_its_trainings(demo: tuple[Path, dict[str, int], dict[str, Any]]) -> None:
    folder, before, answer = demo
    after = _trained(folder)
    assert len(before) >= 7
    assert {name: after[name] for name in before} == before
    whole = 1 + 3 + 2 * len(grid())
    assert len(after) == whole
    counted = sum(cost["trainings"] for stage, cost in answer["ledger"].items() if stage.split(",")[0] in PAID)
    # The kill may fall between a checkpoint and its entry in the ledger.
    assert whole - 1 <= counted <= whole


PAID = ("pretraining", "finetunes", "joint grid")


def test_the_answer_has_every_number(demo: tuple[Path, dict[str, int], dict[str, Any]]) -> None:
    answer = demo[2]
    assert [row["name"] for row in answer["methods"]] == [method.name for method in demo_methods()]
    for row in (*answer["methods"], answer["joint_noise"]):
        assert all(isinstance(row[score], float) for score in SCORES)
    assert set(PAID) <= set(answer["ledger"])
    assert Path(answer["report"]).is_file()


def test_previews_are_what_they_are_sold_for(demo: tuple[Path, dict[str, int], dict[str, Any]]) -> None:
    answer = demo[2]
    rows = {row["name"]: row for row in answer["methods"]}
    assert rows[HEADLINE]["loss_error"] < 0.6 * rows["averaging"]["loss_error"]
    assert answer["joint_noise"]["loss_error"] < rows[HEADLINE]["loss_error"]
    assert rows[HEADLINE]["hypervolume_ratio"] > rows["averaging"]["hypervolume_ratio"]


def test_the_exported_checkpoint_is_good_at_all_tasks(demo: tuple[Path, dict[str, int], dict[str, Any]]) -> None:
    answer = demo[2]
    assert read_params(Path(answer["exported"]))
    assert min(answer["reloaded"].values()) > 0.6


def test_another_demo_run_gives_the_same_scores_and_trains_nothing(
    demo: tuple[Path, dict[str, int], dict[str, Any]],
) -> None:
    folder, _, answer = demo
    with Journal(folder / "journal.sqlite") as journal:
        stored = journal.count()
    trained = _trained(folder)
    again = invoke("demo", "--out", folder, "--workers", 1, "--json").json
    assert _trained(folder) == trained
    for first, second in zip(answer["methods"], again["methods"], strict=True):
        assert {score: second[score] for score in SCORES} == {score: first[score] for score in SCORES}
    assert again["joint_noise"] == answer["joint_noise"]
    assert again["reloaded"] == answer["reloaded"]
    with Journal(folder / "journal.sqlite") as journal:
        assert journal.count() == stored


def test_the_folder_of_a_demo_is_a_run(demo: tuple[Path, dict[str, int], dict[str, Any]]) -> None:
    folder, _, answer = demo
    choice = invoke("choose", folder, "--knee", "--json").json
    assert choice["point"]["weights"] == answer["choice"]["weights"]


def test_one_folder_holds_one_seed(demo: tuple[Path, dict[str, int], dict[str, Any]]) -> None:
    answer = invoke("demo", "--out", demo[0], "--seed", 1)
    assert answer.code == 2
    assert "holds the demo of seed 0: give another folder" in answer.err
