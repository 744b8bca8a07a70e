from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from paretomerge.errors import InputError
from paretomerge.evaluation import Evaluation
from paretomerge.runs import RunFolder, list_runs
from paretomerge.types import Ledger


def _start(path: Path) -> RunFolder:
    folder = RunFolder(path)
    folder.open_journal().close()
    folder.recipe.write_text("base: b\n")
    return folder


def test_a_run_folder_has_a_recipe_and_a_journal(tmp_path: Path) -> None:
    folder = _start(tmp_path / "run")
    assert folder.is_run
    assert folder.require() is folder


@pytest.mark.parametrize("missing", ["recipe.yaml", "journal.sqlite"])
def test_half_of_them_is_no_run(tmp_path: Path, missing: str) -> None:
    folder = _start(tmp_path / "run")
    (folder.path / missing).unlink()
    assert not folder.is_run
    with pytest.raises(InputError, match=r"is not a run folder .*start one with  paretomerge fit RECIPE"):
        folder.require()


def test_runs_are_listed_by_name_with_what_they_cost(tmp_path: Path) -> None:
    _start(tmp_path / "b")
    with _start(tmp_path / "a").open_journal() as journal:
        journal.remember("k", Evaluation(np.ones(1), np.zeros(1)), {})
        journal.charge("fit", Ledger(gradient_passes=3, seconds=1.5))
        journal.charge("verify", Ledger(trainings=2, seconds=2.0))
    (tmp_path / "no-run").mkdir()
    (tmp_path / "recipe.yaml").write_text("base: b\n")
    first, second = list_runs(tmp_path)
    assert (first.path, first.evaluations, first.trainings, first.seconds) == (str(tmp_path / "a"), 1, 2, 3.5)
    assert first.stages == ("fit", "verify")
    assert (second.path, second.evaluations, second.stages) == (str(tmp_path / "b"), 0, ())
    assert [summary.path for summary in list_runs(tmp_path / "a")] == [str(tmp_path / "a")]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere is not a folder"):
        list_runs(tmp_path / "nowhere")
    assert list_runs(tmp_path) == []
