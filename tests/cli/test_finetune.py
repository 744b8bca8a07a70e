"""`paretomerge finetune`, in this process and as several."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.tiny import TASKS, copy_folder, invoke, plain, read_params, start_cli

from paretomerge.choices import ByWeights
from paretomerge.stages import choose_point, finetune_run, open_study

WEIGHTS = "sums=0.5,signs=0.3,swaps=0.2"
ALPHA = dict(zip(TASKS, (0.5, 0.3, 0.2), strict=True))


def test_the_command_does_what_the_function_does(own: Path) -> None:
    pytest.importorskip("peft", reason="the optional extra hf is not installed")
    found = invoke(
        *("finetune", own / "recipe.yaml", own / "joint", "--weights", WEIGHTS, "--steps", 3, "--seed", 2),
        *("--learning-rate", 0.02, "--set", "weight_decay=0.1", "--set", "lora.rank=2", "--json"),
    ).json
    training = {"steps": 3, "learning_rate": 0.02, "weight_decay": 0.1, "lora.rank": 2}
    summary = finetune_run(open_study(own / "recipe-run"), own / "again", ALPHA, training=training, seed=2)
    assert summary is not None
    assert found["folder"] == str(own / "joint")
    changed = {"folder": "", "posterior": "", "adapter": "", "reused": None}
    assert {**found, **changed} == {**plain(summary.as_dict()), **changed}
    assert (found["reused"], summary.reused) == (False, True)


def test_the_table_shows_what_the_training_changed_and_what_comes_next(own: Path) -> None:
    answer = invoke("finetune", own / "recipe.yaml", own / "joint", "--weights", WEIGHTS, "--steps", 2)
    assert answer.code == 0, answer.err
    said = json.loads((own / "joint" / "paretomerge.json").read_text())["scores"]["test"]
    assert "jointly finetuned with sums=0.5, signs=0.3, swaps=0.2 from the base, 2 steps" in answer.out
    for when in ("before", "after"):
        assert f"{said[when]['loss[signs]']['value']:.4g}" in answer.out
    assert f"written: {own / 'joint'}" in answer.out
    assert answer.out.endswith(f"next: paretomerge verify {own / 'recipe-run'}\n")
    again = invoke("finetune", own / "recipe-run", own / "b", "--weights", WEIGHTS, "--steps", 2, "--start", "merged")
    assert "from the merge at these weights, 2 steps\n" in again.out
    third = invoke("finetune", own / "recipe-run", own / "c", "--weights", WEIGHTS, "--steps", 2)
    assert "2 steps; it had been trained before" in third.out


def test_the_chosen_point_is_the_default(own: Path) -> None:
    answer = invoke("finetune", own / "recipe.yaml", own / "joint")
    assert answer.code == 2
    assert "no point of this front was chosen yet" in answer.err
    choice = choose_point(open_study(own / "recipe-run"), ByWeights(ALPHA))
    found = invoke("finetune", own / "recipe-run", own / "joint", "--steps", 1, "--json").json
    assert found["weights"] == dict(choice.point.weights)
    named = invoke("finetune", own / "recipe-run", own / "b", "--point", choice.point.id, "--steps", 1, "--json").json
    assert (named["weights"], named["reused"]) == (found["weights"], True)


def test_a_recipe_without_finetunes_leads_from_one_to_the_next_and_to_the_fit(own: Path) -> None:
    for task in TASKS:
        (own / f"ft-{task}" / "model.safetensors").unlink()
        for file in (own / f"ft-{task}").iterdir():
            file.unlink()
        (own / f"ft-{task}").rmdir()
    run = own / "recipe-run"
    command = ["finetune", own / "recipe.yaml", own / "ft-sums", "--task", "sums"]
    for task in (*TASKS[1:], None):
        answer = invoke(*command)
        assert answer.code == 0, answer.err
        following = answer.out.splitlines()[-1].removeprefix("next: paretomerge ").split()
        expected = (
            ["fit", str(run)] if task is None else ["finetune", str(run), str(own / f"ft-{task}"), "--task", task]
        )
        assert following == expected
        command = following
    assert invoke("fit", run).code == 0


def test_scales_and_early_stopping_are_said_aloud(own: Path) -> None:
    settings = ("normalise=start", "check_every=1", "patience=1", "learning_rate=0.9")
    options = [word for setting in settings for word in ("--set", setting)]
    answer = invoke("finetune", own / "recipe.yaml", own / "joint", "--weights", WEIGHTS, *options)
    assert answer.code == 0, answer.err
    said = json.loads((own / "joint" / "paretomerge.json").read_text())
    shown = ", ".join(f"{task} by {scale:.4g}" for task, scale in said["scales"].items())
    assert f"losses were divided by their values at the start: {shown}" in answer.out
    assert said["stopped"] in answer.out


def test_ctrl_c_is_answered_and_the_same_command_continues(own: Path, tiny: Path, tmp_path: Path) -> None:
    command = ["finetune", "recipe.yaml", "joint", "--weights", WEIGHTS, "--steps", "1500", "--set", "save_every=10"]
    process = start_cli(*command, folder=own)
    deadline = time.monotonic() + 60
    while not list(own.glob("recipe-run/training/*/training.pt")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted; the same command continues where it stopped"
    assert not (own / "joint").exists()
    process = start_cli(*command, "--json", folder=own)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    whole = copy_folder(tiny, tmp_path / "whole")
    options = ("--steps", 1500, "--json")
    expected = invoke("finetune", whole / "recipe.yaml", whole / "joint", "--weights", WEIGHTS, *options).json
    assert json.loads(out)["scores"] == expected["scores"]
    assert (own / "joint" / "model.safetensors").read_bytes() == (whole / "joint" / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", WEIGHTS, "--task", "sums"], "say with which weights once: --weights, --point or --task"),
        (["--weights", WEIGHTS, "--start", "merge"], "--start is base or merged, got 'merge'"),
        (["--weights", WEIGHTS, "--steps", 3, "--set", "steps=4"], "steps is given twice: by --steps and by --set"),
        (["--weights", WEIGHTS, "--set", "stpes=4"], "(did you mean 'steps'?)"),
        (["--weights", WEIGHTS, "--set", "steps"], "write it as KEY=VALUE"),
        (["--weights", "sums=1"], "no weight for task 'signs'"),
        (["--task", "sum"], "'sum'"),
        (["--point", "best"], "the front has the points 0 to"),
        (["--weights", WEIGHTS, "--steps", 0], "training.steps"),
        (["--weights", WEIGHTS, "--set", "lora.rank=0"], "lora.rank must be a whole number"),
    ],
)
def test_a_mistake_is_answered_with_what_to_write(own: Path, options: list[object], message: str) -> None:
    answer = invoke("finetune", own / "recipe.yaml", own / "joint", *options)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert not (own / "joint").exists()


@pytest.mark.slow
def test_two_processes_train_what_one_does_and_one_of_them_writes_and_prints(own: Path) -> None:
    pytest.importorskip("accelerate", reason="the optional extra hf is not installed")
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--num_processes", "2", "--cpu"]
    command = [
        "-m",
        "paretomerge",
        "finetune",
        "recipe.yaml",
        "two",
        "--weights",
        WEIGHTS,
        "--start",
        "merged",
        "--json",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, *command], cwd=own, env=environment, capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stderr
    two = json.loads(done.stdout)
    assert two["ledger"]["trainings"] == 1
    (own / "recipe-run").rename(own / "run-of-two")
    one = invoke("finetune", own / "recipe.yaml", own / "one", "--weights", WEIGHTS, "--start", "merged", "--json").json
    assert one["ledger"]["gradient_passes"] == two["ledger"]["gradient_passes"]
    expected = read_params(own / "one")
    for name, tensor in read_params(own / "two").items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-4)
