from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from paretomerge.checkpoints import open_checkpoint, write_params
from paretomerge.errors import EvaluationError, InputError, StorageError
from paretomerge.evaluation import CommandEvaluator, evaluate_one
from paretomerge.types import Objective, Params

PROGRAM = """
import json, os, pathlib, sys
from safetensors.numpy import load_file
folder, task, split = sys.argv[1:4]
with open("calls", "a") as calls:
    calls.write(f"{task}\\n")
value = float(load_file(os.path.join(folder, "model.safetensors"))["w"].sum())
assert os.environ["PARETOMERGE_MODEL_DIR"] == folder and os.environ["PARETOMERGE_SPLIT"] == split
score = {"acc": [value, value + 1], "time": 3.0, "time_stderr": 0.5}
print("loading ...")
print(json.dumps(score if task != "-" else {"a": score, "b": {"acc": value}}))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "score.py").write_text(PROGRAM, encoding="utf-8")
    return tmp_path


def _command(*words: str) -> list[str]:
    return [sys.executable, *(words or ("score.py", "{model_dir}", "{task}", "{split}"))]


def _write(params: Params, target: Path) -> None:
    write_params(target, params)


def _says(text: str, **changes: Any) -> CommandEvaluator:
    return CommandEvaluator(_command("-c", f"print({text!r})", "{task}"), _write, **changes)


def _params(value: float) -> Params:
    return {"w": torch.full((3,), value)}


def _calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def test_a_program_reads_the_model_and_prints_the_scores_of_a_task(folder: Path) -> None:
    evaluate = CommandEvaluator(_command(), _write, "validation", folder=folder)
    objectives = [Objective("acc[a]", "maximise", task="a", metric="acc"), Objective("time", task="a", metric="time")]
    for value in (1.0, 2.0):
        found = evaluate_one(_params(value), evaluate, objectives)
        assert found.values.tolist() == [3 * value + 0.5, 3.0]
        assert found.stderr.tolist() == [0.5, 0.5]


def test_a_model_is_written_once_for_all_its_tasks_and_removed_with_the_next(folder: Path) -> None:
    written: list[Path] = []

    def write(params: Params, target: Path) -> None:
        written.append(target)
        write_params(target, params)

    evaluate = CommandEvaluator(_command(), write, folder=folder)
    for task in ("a", "b"):
        evaluate(_params(1.0), task)
    assert len(written) == 1
    assert open_checkpoint(written[0])["w"].tolist() == [1.0, 1.0, 1.0]
    evaluate(_params(2.0), "a")
    assert len(written) == 2
    assert not written[0].exists()
    evaluate.close()
    assert not written[1].parent.exists()


def test_the_same_parameters_in_new_memory_are_the_same_model_and_changed_ones_are_not(folder: Path) -> None:
    written: list[Path] = []

    def write(params: Params, target: Path) -> None:
        written.append(target)
        write_params(target, params)

    evaluate = CommandEvaluator(_command(), write, folder=folder)
    params = dict(_params(1.0))
    evaluate(params, "a")
    evaluate(_params(1.0), "a")
    assert len(written) == 1
    params["w"] += 1
    assert evaluate(params, "a")["acc"] == [6.0, 7.0]


def test_without_a_place_for_the_task_one_call_serves_all(folder: Path) -> None:
    evaluate = CommandEvaluator(_command("score.py", "{model_dir}", "-", "{split}"), _write, folder=folder)
    assert evaluate(_params(1.0), "a")["acc"] == [3.0, 4.0]
    assert evaluate(_params(1.0), "b") == {"acc": 3.0}
    assert _calls(folder) == ["-"]
    with pytest.raises(EvaluationError, match=r"printed scores of 'a', 'b', and none of the task 'c'"):
        evaluate(_params(1.0), "c")
    evaluate(_params(2.0), "a")
    assert _calls(folder) == ["-", "-"]


def test_the_task_may_be_read_from_the_environment(tmp_path: Path) -> None:
    code = "import os; print(len(os.environ['PARETOMERGE_TASK']))"
    evaluate = CommandEvaluator(_command("-c", code), _write, folder=tmp_path)
    assert [evaluate(_params(1.0), task) for task in ("a", "bcd")] == [1, 3]


def test_other_braces_stay_and_what_is_filled_in_is_not_looked_at_again() -> None:
    evaluate = CommandEvaluator(
        _command("-c", "import sys, json; print(json.dumps({'n': len(sys.argv[1])}))", "{task}"), _write
    )
    assert evaluate(_params(1.0), "{split}") == {"n": len("{split}")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", 0.5),
        ("[1, 0]", [1, 0]),
        ('{"acc": 1}', {"acc": 1}),
        ('epoch 1\n{"acc": 0}\n{"acc": 1}\ndone', {"acc": 1}),
        ('{\n "acc": 1\n}', {"acc": 1}),
    ],
)
def test_scores_are_the_whole_output_or_its_last_line_that_is_an_object(text: str, expected: Any) -> None:
    assert _says(text)(_params(1.0), "a") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accuracy: 0.5", r"printed no JSON: .* such as \{\"accuracy\": \[1, 0, 1\]\}; it was 'accuracy: 0.5'"),
        ("", "printed no JSON.*it was ''"),
        ('{"acc": "high"}', "acc of task 'a' is not a number"),
        ('{"acc": NaN}', "NaN or infinite"),
        ("{}", "returned no metric"),
        ('{"loss": 1}', "needs the metric 'acc', but the evaluator returned 'loss'"),
        ('{"acc": 1, "acc_stderr": -1}', "acc_stderr of task 'a' is .*at least 0"),
    ],
)
def test_what_is_no_score_is_said(text: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        evaluate_one(_params(1.0), _says(text), [Objective("acc[a]", task="a", metric="acc")])


def test_all_tasks_at_once_need_their_names() -> None:
    evaluate = CommandEvaluator(_command("-c", "print(0.5)"), _write)
    with pytest.raises(EvaluationError, match=r"has no \{task\}, so it must print the scores of all tasks.*0\.5"):
        evaluate(_params(1.0), "a")


def test_a_program_that_failed_is_tried_again(tmp_path: Path) -> None:
    code = "import os, sys; known = os.path.exists('x'); open('x', 'w').close(); print(1) if known else sys.exit('no')"
    evaluate = CommandEvaluator(_command("-c", code, "{task}"), _write, folder=tmp_path, retries=1)
    assert evaluate(_params(1.0), "a") == 1
    (tmp_path / "x").unlink()
    once = CommandEvaluator(_command("-c", code, "{task}"), _write, folder=tmp_path, retries=0)
    with pytest.raises(EvaluationError, match=r"command failed: .*ended with status 1\. It said:\nno"):
        once(_params(1.0), "a")


def test_it_is_said_how_often_a_program_failed() -> None:
    evaluate = CommandEvaluator(_command("-c", "raise SystemExit(2)", "{task}"), _write, retries=2)
    with pytest.raises(EvaluationError, match=r"failed \(3 times\): .*status 2"):
        evaluate(_params(1.0), "a")


def test_a_timeout_is_not_tried_again(tmp_path: Path) -> None:
    code = "import time; open('calls', 'a').write('x\\n'); time.sleep(30)"
    evaluate = CommandEvaluator(_command("-c", code, "{task}"), _write, folder=tmp_path, retries=3, timeout=1)
    with pytest.raises(EvaluationError, match="still running after 1 s"):
        evaluate(_params(1.0), "a")
    assert _calls(tmp_path) == ["x"]


def test_a_model_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def write(params: Params, target: Path) -> None:
        target.mkdir()
        raise StorageError("full")

    evaluate = CommandEvaluator(_command("-c", "0"), write)
    with pytest.raises(StorageError, match="full"):
        evaluate(_params(1.0), "a")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 5})())
    with pytest.raises(StorageError, match=r"0.0 GB are free and the model takes .*TMPDIR"):
        _says("1")(_params(1.0), "a")
    assert list(tmp_path.iterdir()) == []


def test_large_models_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paretomerge.evaluation.command.LARGE", 4)
    with pytest.warns(UserWarning, match="every evaluation writes 0.0 GB below"):
        _says("1")(_params(1.0), "a")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([], "has no program"),
        (["no-such-program", "x"], "starts with 'no-such-program', which is no program on this machine: install it"),
        (["./score.sh"], "seen from .*write its path"),
    ],
)
def test_a_program_that_is_not_there_is_said_at_once(tmp_path: Path, command: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CommandEvaluator(command, _write, folder=tmp_path)


def test_a_program_beside_the_recipe_is_found(tmp_path: Path) -> None:
    script = tmp_path / "score.sh"
    script.write_text("#!/bin/sh\necho 0.25\n", encoding="utf-8")
    script.chmod(0o755)
    assert CommandEvaluator(["./score.sh", "{task}"], _write, folder=tmp_path)(_params(1.0), "a") == 0.25


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(InputError, match="timeout above 0"):
        _says("1", timeout=0)
    with pytest.raises(InputError, match="retries of at least 0"):
        _says("1", retries=-1)


def test_scores_of_a_program_can_be_paired(folder: Path) -> None:
    evaluate = CommandEvaluator(_command(), _write, folder=folder)
    found = evaluate_one(_params(1.0), evaluate, [Objective("acc[a]", task="a", metric="acc")])
    np.testing.assert_array_equal(found.examples["acc[a]"], [3.0, 4.0])


def test_python_is_the_interpreter_that_runs_this(folder: Path) -> None:
    evaluate = CommandEvaluator(["{python}", "score.py", "{model_dir}", "{task}", "{split}"], _write, folder=folder)
    assert evaluate.command[0] == sys.executable
    assert evaluate(_params(1.0), "a")["acc"] == [3.0, 4.0]
