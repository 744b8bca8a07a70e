from __future__ import annotations

from pathlib import Path

import pytest
from tests.tiny import TASKS, files_below

from paretomerge.errors import InputError, WeightsError
from paretomerge.merging import Averaging
from paretomerge.stages import check_checkpoints, merge_checkpoints


def test_the_summary_says_what_was_written(own: Path) -> None:
    weights = {"sums": 0.5, "signs": 0.5}
    finetunes = {task: own / f"ft-{task}" for task in weights}
    summary = merge_checkpoints(own / "merged", own / "base", finetunes, weights, Averaging())
    assert (summary.tensors, summary.parameters, summary.weights) == (4, 51, weights)
    assert summary.rule == "Averaging()"
    assert Path(summary.path) == own / "merged"


@pytest.mark.parametrize("weights", [{"sums": 0.5}, {"sums": 2.0, "signs": 0.5}, {"sums": float("inf"), "signs": 0}])
def test_bad_weights_are_refused_before_anything_is_written(own: Path, weights: dict[str, float]) -> None:
    before = files_below(own)
    with pytest.raises(WeightsError):
        merge_checkpoints(own / "m", own / "base", {task: own / f"ft-{task}" for task in TASKS[:2]}, weights)
    assert files_below(own) == before


def test_there_must_be_something_to_merge(own: Path) -> None:
    with pytest.raises(InputError, match="no finetunes: give at least one --task name=DIR"):
        check_checkpoints(own / "base", {})
