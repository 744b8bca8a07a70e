"""An interrupted command, run again, continues: nothing that was stored is measured twice."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.tiny import EVALUATIONS, TASKS, calls_in, copy_folder, invoke, logged_recipe, start_cli, write_recipe

from paretomerge.runs import Journal

WHOLE = EVALUATIONS * len(TASKS)
"""Calls of the evaluator in a front that nothing interrupts: one per model and task."""


@pytest.fixture
def logged(own: Path) -> Path:
    write_recipe(own, logged_recipe())
    return own


@pytest.fixture(scope="session")
def uninterrupted(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = copy_folder(tiny, tmp_path_factory.mktemp("uninterrupted") / "study")
    write_recipe(folder, logged_recipe())
    answer = invoke("front", folder / "recipe.yaml", "--json").json
    assert calls_in(folder) == WHOLE
    return answer["front"]


def _stored(folder: Path) -> int:
    with Journal(folder / "recipe-run" / "journal.sqlite") as journal:
        return journal.count()


@pytest.mark.parametrize(
    ("how", "code", "message"),
    [
        (
            "raise",
            1,
            "error: 3 of 3 evaluations failed, so the run stopped; what was measured is kept, and the same command "
            "continues when the cause is repaired. The last one: the evaluator failed on task 'sums': RuntimeError: "
            "the GPU fell off the bus\n",
        ),
        ("interrupt", 130, "interrupted; the same command continues where it stopped\n"),
    ],
)
def test_an_evaluation_that_breaks_costs_only_itself(
    logged: Path, uninterrupted: object, how: str, code: int, message: str
) -> None:
    # Two models are scored, the third breaks on its second task.
    (logged / "control.txt").write_text(f"{how} 7")
    answer = invoke("front", logged / "recipe.yaml")
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.lstrip("\n") == message
    assert _stored(logged) == 2
    (logged / "control.txt").unlink()
    assert invoke("front", logged / "recipe.yaml", "--json").json["front"] == uninterrupted
    assert calls_in(logged) == 7 + WHOLE - 2 * len(TASKS)
    assert _stored(logged) == EVALUATIONS


def test_a_killed_process_loses_only_the_evaluation_in_flight(logged: Path, uninterrupted: object) -> None:
    (logged / "control.txt").write_text("slow 0.15")
    process = start_cli("front", "recipe.yaml", folder=logged)
    deadline = time.monotonic() + 60
    while calls_in(logged) < 7 and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    stored, called = _stored(logged), calls_in(logged)
    assert 2 <= stored < EVALUATIONS
    (logged / "control.txt").unlink()
    assert invoke("front", logged / "recipe.yaml", "--json").json["front"] == uninterrupted
    assert calls_in(logged) == called + WHOLE - stored * len(TASKS)


def test_a_larger_budget_pays_only_for_what_is_new(logged: Path) -> None:
    invoke("front", logged / "recipe.yaml")
    content = logged_recipe(front={"evaluations": EVALUATIONS + 2})
    write_recipe(logged / "recipe-run", {**content, **_absolute(logged, content)})
    answer = invoke("front", logged / "recipe-run", "--json").json
    assert len(answer["scores"]["values"]) == EVALUATIONS + 2
    assert calls_in(logged) == WHOLE + 2 * len(TASKS)


def test_another_evaluator_measures_again(logged: Path) -> None:
    invoke("front", logged / "recipe.yaml")
    with (logged / "evaluator.py").open("a") as handle:
        handle.write("\n# a better prompt\n")
    invoke("front", logged / "recipe.yaml")
    assert calls_in(logged) == 2 * WHOLE


def test_another_base_or_finetune_measures_again(logged: Path, tiny: Path) -> None:
    invoke("front", logged / "recipe.yaml")
    weights = logged / "ft-sums" / "model.safetensors"
    weights.write_bytes((tiny / "ft-signs" / "model.safetensors").read_bytes())
    assert invoke("front", logged / "recipe.yaml").code == 0
    assert calls_in(logged) == 2 * WHOLE


def _absolute(folder: Path, content: dict) -> dict:
    return {
        "base": str(folder / content["base"]),
        "tasks": {task: {"checkpoint": str(folder / f"ft-{task}")} for task in TASKS},
        "problem": f"{folder}/{content['problem']}",
        "evaluator": f"{folder}/{content['evaluator']}",
    }
