from __future__ import annotations

from pathlib import Path

import pytest
from tests.tiny import TASKS, copy_folder, invoke


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """One verified weighting."""
    folder = copy_folder(tiny, tmp_path_factory.mktemp("verify") / "study", posterior={"family": "isotropic"})
    assert invoke("verify", folder / "recipe.yaml", "--points", 1).code == 0
    return folder / "recipe-run"


def test_the_table_has_a_row_per_weighting_and_objective_and_says_what_follows(run: Path) -> None:
    answer = invoke("verify", run, "--points", 1)
    assert answer.code == 0
    for word in ("preview", "trained", "error", "recalibrated", *(f"loss[{task}]" for task in TASKS)):
        assert word in answer.out
    assert "previews against 1 joint finetuning on test data, weights of sums/signs/swaps" in answer.out
    assert "90 % intervals" in answer.out
    text = " ".join(answer.out.split())
    assert "moves the front's loss[sums] by" in text, "names of objectives are no markup"
    assert f"next: paretomerge choose {run} --joint --knee" in answer.out
    assert all(len(line) <= 80 for line in answer.out.splitlines() if "next:" not in line)


def test_json_has_everything_and_nothing_else(run: Path) -> None:
    found = invoke("verify", run, "--points", 1, "--json").json
    assert found["run"] == str(run)
    assert len(found["truths"]["values"]) == 1
    assert set(found) >= {"previews", "quality", "coverage", "recalibration", "survivors", "sentences", "trained"}


def test_the_next_verb_works(run: Path) -> None:
    answer = invoke("choose", run, "--joint", "--knee")
    assert answer.code == 0, answer.err


def test_given_checkpoints_are_taken_instead_of_training(run: Path) -> None:
    [folder] = (run / "trained").iterdir()
    before = set((run / "trained").iterdir())
    found = invoke("verify", run, "--trained", f"sums=0.6,signs=0.4:{folder}", "--json").json
    assert set((run / "trained").iterdir()) == before
    assert [0.6, 0.4, 0.0] in found["truths"]["weights"]
    assert [truth["path"] for truth in found["trained"] if truth["path"]] == [str(folder)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("sums=0.6,signs=0.4", "write it as a=0.5,b=0.5:DIR"),
        (":somewhere", "write it as a=0.5,b=0.5:DIR"),
        ("sums=0.6,sings=0.4:there", "unknown task 'sings' (did you mean 'signs'?)"),
        ("sums=0.6,signs=x:there", "'x' is not a number"),
        ("sums=0.6,signs=0.6:there", "sum to 1.2"),
        ("sums=0.6,signs=0.4:there", "there"),
    ],
)
def test_checkpoints_that_cannot_be_taken_are_refused_in_one_line(run: Path, given: str, message: str) -> None:
    answer = invoke("verify", run, "--trained", given)
    assert answer.code != 0
    assert message in answer.err
    assert "Traceback" not in answer.err


def test_one_weighting_given_twice_is_refused(run: Path) -> None:
    answer = invoke("verify", run, "--trained", "sums=1:x", "--trained", "sums=1.0,signs=0:y")
    assert answer.code != 0
    assert "two checkpoints for the same weights" in answer.err
