from __future__ import annotations

import json
import math
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.tiny import files_below, invoke, make_folder, read_params

from paretomerge.checkpoints import write_params
from paretomerge.errors import InputError
from paretomerge.stages import check_integrity


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with evaluations, posteriors and a jointly trained model."""
    folder = make_folder(tmp_path_factory.mktemp("integrity") / "study")
    recipe = folder / "recipe.yaml"
    weights = "sums=0.5,signs=0.25,swaps=0.25"
    for words in (["front", recipe], ["finetune", recipe, folder / "joint", "--weights", weights]):
        answer = invoke(*words)
        assert answer.code == 0, answer.err
    return folder


@pytest.fixture
def run(study: Path, tmp_path: Path) -> Path:
    """A copy whose recipe names the copied checkpoints."""
    shutil.copytree(study, tmp_path / "study")
    recipe = tmp_path / "study" / "recipe-run" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(str(study), str(tmp_path / "study")))
    return recipe.parent


def test_a_sound_run_is_sound_and_nothing_of_it_is_changed(run: Path) -> None:
    before = {name: (run / name).read_bytes() for name in files_below(run) if (run / name).is_file()}
    found = check_integrity(run)
    assert found.is_sound
    assert [flaw for flaw in found.flaws if flaw.severity == "error"] == []
    assert (found.version, found.posteriors, found.trained, found.checkpoints) == (3, 3, 1, 4)
    assert found.evaluations > 3
    after = {name: (run / name).read_bytes() for name in files_below(run) if (run / name).is_file()}
    assert {name: after[name] for name in before if "-shm" not in name} == {
        name: before[name] for name in before if "-shm" not in name
    }


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)


def _first(folder: Path) -> Path:
    return min(folder.iterdir())


def _other_finetune(run: Path) -> None:
    params = read_params(run.parent / "ft-sums")
    shutil.rmtree(run.parent / "ft-sums")
    write_params(run.parent / "ft-sums", {name: tensor + 1 for name, tensor in params.items()})


def _nan_posterior(run: Path) -> None:
    path = _first(run / "posteriors")
    path.write_bytes(path.read_bytes()[:-8] + struct.pack("<d", math.inf))  # as two numbers in float32: NaN and zero


CHANGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a bit of a posterior": (
        lambda run: _flip(_first(run / "posteriors")),
        "posteriors/0-sums",
        "not the one that was",
    ),
    "a posterior cut off": (
        lambda run: _first(run / "posteriors").write_bytes(_first(run / "posteriors").read_bytes()[:-5]),
        "posteriors/0-sums",
        "truncated",
    ),
    "a posterior gone": (lambda run: _first(run / "posteriors").unlink(), "posteriors/0-sums", "is missing"),
    "an infinite posterior": (_nan_posterior, "posteriors/0-sums", "finite"),
    "a finetune": (_other_finetune, "posteriors/0-sums", "the checkpoint of sums has changed"),
    "a finetune gone": (lambda run: shutil.rmtree(run.parent / "ft-sums"), "checkpoint of 'sums'", "no such file"),
    "a trained model gone": (
        lambda run: (_first(run / "trained") / "model.safetensors").unlink(),
        "trained/",
        "'model.safetensors' is missing",
    ),
    "a trained model cut off": (
        lambda run: (_first(run / "trained") / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}"),
        "trained/",
        "has 10 bytes",
    ),
    "a manifest gone": (lambda run: (_first(run / "trained") / "paretomerge.json").unlink(), "trained/", "cannot read"),
    "an empty manifest": (
        lambda run: (_first(run / "trained") / "paretomerge.json").write_text("{}"),
        "trained/",
        "names no files",
    ),
    "the recipe gone": (lambda run: (run / "recipe.yaml").unlink(), "recipe.yaml", "there is no recipe"),
    "the recipe": (lambda run: (run / "recipe.yaml").write_text("base: ["), "recipe.yaml", "is not YAML"),
    "the journal gone": (
        lambda run: [path.unlink() for path in run.glob("journal.sqlite*")],
        "journal.sqlite",
        "what was measured is lost",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_since_is_found(run: Path, change: str) -> None:
    make, where, message = CHANGES[change]
    make(run)
    found = check_integrity(run)
    assert not found.is_sound
    assert [flaw for flaw in found.flaws if flaw.where.startswith(where) and message in flaw.message], found.flaws


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".x.0123-1.partial", "left by a process"),
        ("unfinished/0123", "an interrupted fit"),
        ("training/0123", "an interrupted joint finetuning"),
    ],
)
def test_what_a_killed_process_left_is_a_warning(run: Path, name: str, message: str) -> None:
    (run / name).mkdir(parents=True)
    found = check_integrity(run)
    assert found.is_sound
    assert message in " ".join(flaw.message for flaw in found.flaws)


def test_results_of_an_earlier_recipe_are_a_warning(run: Path) -> None:
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("points: 15", "points: 14"))
    found = check_integrity(run)
    assert found.is_sound
    assert "front" in {flaw.where for flaw in found.flaws}


def test_the_command_says_it_and_ends_with_one(run: Path) -> None:
    answer = invoke("runs", "--verify", run)
    assert (answer.code, answer.out.splitlines()[0].split(": ")[1]) == (0, "sound")
    _flip(_first(run / "posteriors"))
    answer = invoke("runs", "--verify", run.parent, "--json")
    assert answer.code == 1
    [found] = json.loads(answer.out)
    assert found["sound"] is False
    assert found["flaws"][0]["where"] == "posteriors/0-sums.safetensors"
    answer = invoke("runs", "--verify", run)
    assert answer.code == 1
    assert "NOT SOUND" in answer.out


@pytest.mark.parametrize("name", ["nothing", "base"])
def test_what_never_held_a_run_is_an_input_error(run: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not a"):
        check_integrity(run.parent / name)
    assert invoke("runs", "--verify", run.parent / name).code == 2
