from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.killed_training import KINDS, PROBLEM, Noisy, data, train

from paretomerge.errors import CheckpointError, StorageError
from paretomerge.training import Finetuned, TrainingRecipe, finetune
from paretomerge.training.resume import FILE, TrainingFolder
from paretomerge.types import Batch, Problem, Split

ROOT = Path(__file__).parents[2]


class StoppedError(Exception):
    """Ends a training from within."""


def _stop_at(last: int):
    def on_step(step: int, loss: float) -> None:
        if step == last:
            raise StoppedError

    return on_step


def _start() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return Noisy().state_dict()


RECIPE = TrainingRecipe(steps=8, examples_per_task=5, save_every=2)
ALPHA = {"a": 0.3, "other": 0.7}


def _interrupted(folder: Path, last: int = 4, recipe: TrainingRecipe = RECIPE, **changes: Any) -> None:
    given = {"problem": PROBLEM, "start": _start(), "weights": ALPHA, "recipe": recipe, "seed": 5} | changes
    with pytest.raises(StoppedError):
        finetune(**given, on_step=_stop_at(last), folder=folder)


def _assert_equal(found: Finetuned, expected: Finetuned) -> None:
    assert found.history == expected.history
    assert found.checks == expected.checks
    assert found.scales == expected.scales
    assert (found.steps, found.stopped) == (expected.steps, expected.stopped)
    assert all(torch.equal(found.params[name], tensor) for name, tensor in expected.params.items())
    assert all(torch.equal(found.posterior.precision[n], h) for n, h in expected.posterior.precision.items())
    assert found.ledger.gradient_passes == expected.ledger.gradient_passes


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_goes_on_bit_by_bit_wherever_it_was_stopped(kind: str, tmp_path: Path) -> None:
    whole = train(kind, None)
    for last in (0, 3, 4, 6, 11):
        folder = tmp_path / str(last)
        torch.manual_seed(0)
        start = Noisy().state_dict()
        recipe = TrainingRecipe.of({"steps": 12, "examples_per_task": 5, "save_every": 4, **KINDS[kind]})
        _interrupted(folder, last, recipe, start=start)
        messages: list[str] = []
        _assert_equal(train(kind, folder, messages=messages), whole)
        # A listener that raises on the fourth step comes before the checkpoint of that step.
        kept = 4 * (last // 4)
        told = [text for text in messages if text.startswith("goes on")]
        assert told == ([f"goes on after step {kept} of 12, from a checkpoint"] if kept else [])
        assert not folder.exists()


def test_a_killed_process_loses_nothing_but_the_steps_since_the_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    killed = subprocess.run(
        [sys.executable, "-m", "tests.training.killed_training", str(folder), "adamw", "9"],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert [path.name for path in folder.iterdir()] == [FILE]
    messages: list[str] = []
    _assert_equal(train("adamw", folder, messages=messages), train("adamw", None))
    assert "goes on after step 8 of 12, from a checkpoint" in messages


def test_keeping_the_folder_leaves_the_last_checkpoint_to_the_caller(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    first = finetune(PROBLEM, _start(), ALPHA, RECIPE, 5, folder=folder, keep_folder=True)
    assert torch.load(folder / FILE, weights_only=True)["state"]["step"] == 6
    _assert_equal(finetune(PROBLEM, _start(), ALPHA, RECIPE, 5, folder=folder), first)


def test_a_folder_with_something_else_in_it_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    finetune(PROBLEM, _start(), ALPHA, RECIPE, 5, folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_tenth_of_the_steps_lies_between_checkpoints_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    monkeypatch.setattr(TrainingFolder, "save", lambda self, state: saved.append(state["step"]))
    finetune(PROBLEM, _start(), ALPHA, replace(RECIPE, steps=25, save_every=None), 5, folder=tmp_path)
    assert saved == list(range(2, 25, 2))


def _other_data(task: str, split: Split) -> list[Batch]:
    return [(inputs + (split == "training"), targets) for inputs, targets in data(task, split)]


def _other_validation(task: str, split: Split) -> list[Batch]:
    return [(inputs + (split == "validation"), targets) for inputs, targets in data(task, split)]


def _own_loss(module, batch):
    return torch.nn.functional.cross_entropy(module(batch[0]), batch[1])


CHECKED = replace(RECIPE, check_every=4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": {"a": 0.4, "other": 0.6}}, r"task weights \(a=0.3, other=0.7 there, a=0.4, other=0.6 asked for\)"),
        (
            {"recipe": replace(CHECKED, learning_rate=1e-2)},
            r"training recipe \(learning_rate: 0.001 there, 0.01 asked for\)\. Give another folder",
        ),
        ({"recipe": replace(CHECKED, check_every=2)}, r"training recipe \(check_every: 4 there, 2 asked for\)"),
        ({"seed": 6}, r"Different: seed \(5 there, 6 asked for\)\."),
        ({"start": {**_start(), "linear.bias": torch.ones(2)}}, "Different: parameters where training starts. Give"),
        ({"problem": Problem(("a", "other"), Noisy, _other_data)}, "Different: training examples. Give"),
        ({"problem": Problem(("a", "other"), Noisy, _other_validation)}, "Different: validation examples. Give"),
        (
            {"problem": Problem(("a", "other"), Noisy, data, loss_fn=_own_loss)},
            r"Different: loss \(categorical there, .*_own_loss asked for\)",
        ),
    ],
)
def test_the_checkpoint_of_another_training_is_refused_and_kept(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    _interrupted(tmp_path, recipe=CHECKED)
    before = (tmp_path / FILE).read_bytes()
    given = {"problem": PROBLEM, "start": _start(), "weights": ALPHA, "recipe": CHECKED, "seed": 5} | changes
    with pytest.raises(CheckpointError, match=message) as caught:
        finetune(**given, folder=tmp_path)
    assert str(tmp_path / FILE) in str(caught.value)
    assert (tmp_path / FILE).read_bytes() == before


def test_what_changes_rounding_or_the_disk_only_may_change_on_the_way(tmp_path: Path) -> None:
    _interrupted(tmp_path)
    messages: list[str] = []
    recipe = replace(RECIPE, accumulate=2, save_every=3, device="cpu")
    finetune(PROBLEM, _start(), ALPHA, recipe, 5, folder=tmp_path, on_message=messages.append)
    assert messages == ["goes on after step 4 of 8, from a checkpoint"]


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 torn", b"not a checkpoint", pickle.dumps({"state": 1}, protocol=2)]
)
def test_a_broken_file_is_named_and_not_deleted(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"training\.pt is no training checkpoint .* delete it to train from"):
        finetune(PROBLEM, _start(), ALPHA, RECIPE, 5, folder=tmp_path)
    assert (tmp_path / FILE).read_bytes() == content


class _Evil:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"identity": {}, "state": _Evil()}, tmp_path / FILE)
    with pytest.raises(CheckpointError, match="no training checkpoint"):
        finetune(PROBLEM, _start(), ALPHA, RECIPE, 5, folder=tmp_path)
    assert not (tmp_path / "executed").exists()


def test_a_disk_that_refuses_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = TrainingFolder(tmp_path, {"seed": "1"})
    folder.save({"step": 1})

    def refuse(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StorageError, match="No space left on device"):
        folder.save({"step": 2})
    monkeypatch.undo()
    assert folder.load() == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_what_a_killed_writer_left_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / f".{FILE}.0123456789ab-1.partial").write_bytes(b"half")
    TrainingFolder(tmp_path, {}).save({"step": 1})
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_folder_without_a_checkpoint_is_a_start(tmp_path: Path) -> None:
    assert TrainingFolder(tmp_path / "new", {}).load() is None
    TrainingFolder(tmp_path / "new", {}).remove()


def test_another_number_of_processes_goes_on_with_other_dropout(tmp_path: Path) -> None:
    """As if two processes had written the checkpoint."""
    _interrupted(tmp_path)
    held = torch.load(tmp_path / FILE, weights_only=True)
    held["state"]["training"]["random"]["cpu"] = held["state"]["training"]["random"]["cpu"].repeat(2, 1)
    torch.save(held, tmp_path / FILE)
    result = finetune(PROBLEM, _start(), ALPHA, RECIPE, 5, folder=tmp_path)
    whole = finetune(PROBLEM, _start(), ALPHA, RECIPE, 5)
    assert result.history[:4] == whole.history[:4]
    assert result.history[4:] != whole.history[4:]
    assert len(result.history) == 8


def test_an_interrupt_while_saving_is_an_interrupt_and_loses_nothing(tmp_path: Path) -> None:
    """Not an error of the file, and not swallowed, wherever it comes."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    folder = TrainingFolder(tmp_path / "training", {})
    state = {"step": 1, **{f"w{k}": torch.full((300,), float(k)) for k in range(200)}}
    folder.save(state)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for attempt in range(60):
            with contextlib.suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, 2e-4 * (attempt + 1))
                folder.save(state)
            signal.setitimer(signal.ITIMER_REAL, 0)
            held = folder.load()
            assert held is not None
            assert held["step"] == 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
