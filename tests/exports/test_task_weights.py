"""Task weights for a joint finetuning elsewhere: three equivalent ways to apply them."""

from __future__ import annotations

import errno
import json
import os

import pytest
import yaml

from paretomerge.errors import InputError, StorageError, WeightsError
from paretomerge.exports import export_task_weights
from paretomerge.types import Weights

ALPHA = {"math": 0.6, "code": 0.4}


@pytest.mark.parametrize("suffix", ["yaml", "yml", "json"])
@pytest.mark.parametrize("weights", [ALPHA, Weights(("math", "code"), [0.6, 0.4])])
def test_weights_are_read_again_exactly(tmp_path, suffix, weights):
    path = export_task_weights(tmp_path / "deep" / f"weights.{suffix}", weights)
    text = path.read_text()
    content = json.loads(text) if suffix == "json" else yaml.safe_load(text)
    assert content["loss_weights"] == ALPHA
    assert "repeat_factors" not in content
    assert "Use one of them" in text


def test_proportions_are_the_normalised_weights_and_repeat_factors_undo_the_sizes(tmp_path):
    sizes = {"math": 100, "code": 300}
    path = export_task_weights(tmp_path / "w.json", {"math": 1.5, "code": 0.5}, sizes)
    content = json.loads(path.read_text())
    assert content["sampling_proportions"] == {"math": 0.75, "code": 0.25}
    factors = content["repeat_factors"]
    assert factors == {"math": 3.0, "code": pytest.approx(1 / 3)}
    # seen examples per task are in the proportions, and their number is that of the concatenated data
    seen = {task: factors[task] * sizes[task] for task in sizes}
    assert sum(seen.values()) == pytest.approx(400)
    assert seen["math"] / 400 == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("weights", "sizes", "expected"),
    [
        ({"a": -1.0, "b": 2.0}, None, "negative"),
        ({"a": 0.0, "b": 0.0}, None, "all task weights are zero"),
        ({"a": float("nan")}, None, "NaN"),
        ({}, None, "weights are empty"),
        (ALPHA, {"math": 3}, "no weight for task 'code'"),
        (ALPHA, {"math": 3, "code": 0}, "'code' has 0 training examples"),
        (ALPHA, {"math": 3, "code": 1.5}, "positive whole numbers"),
        (ALPHA, {"math": 3, "code": float("inf")}, "positive whole numbers"),
    ],
)
def test_impossible_weights_and_sizes_are_refused(tmp_path, weights, sizes, expected):
    with pytest.raises(WeightsError, match=expected):
        export_task_weights(tmp_path / "w.yaml", weights, sizes)
    assert os.listdir(tmp_path) == []


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(InputError, match="give one of these suffixes"):
        export_task_weights(tmp_path / "w.txt", ALPHA)


def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = export_task_weights(tmp_path / "w.yaml", ALPHA)
    before = path.read_text()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        export_task_weights(path, {"math": 0.1, "code": 0.9})
    assert path.read_text() == before
    assert os.listdir(tmp_path) == ["w.yaml"]
