from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from paretomerge.checkpoints import estimate_merge, measure_reading, open_checkpoint, write_params
from paretomerge.checkpoints.preflight.estimate import FIXED_MEMORY
from paretomerge.checkpoints.views import view

BASE = open_checkpoint({"w": torch.zeros(30, 10, dtype=torch.bfloat16), "b": torch.zeros(10), "n": torch.tensor(1)})
BYTES = 600 + 40 + 8


def _tune() -> object:
    return open_checkpoint({name: BASE[name].clone() for name in BASE})


def test_sizes_follow_from_the_specs() -> None:
    found = estimate_merge(BASE, {"a": _tune(), "b": _tune()}, models=5)
    assert found.parameters == 311
    assert found.bytes_to_read == 3 * BYTES
    assert found.bytes_to_write == 5 * BYTES
    assert found.largest_tensor == "w"
    assert found.memory == (3 + 5 + 2) * 4 * 300 + FIXED_MEMORY
    assert found.seconds is None


def test_another_dtype_private_tensors_and_precisions_are_counted() -> None:
    own = {"a": open_checkpoint({"head": torch.zeros(7)})}
    found = estimate_merge(BASE, {"a": _tune()}, private=own, dtype=torch.float64, inputs_per_finetune=2)
    assert found.bytes_to_write == 8 * 310 + 8 + 28
    assert found.bytes_to_read == 3 * BYTES + 28
    assert found.memory == (3 + 1 + 2) * 4 * 300 + FIXED_MEMORY


def test_what_two_models_share_is_read_once() -> None:
    shared = view(BASE, {"w": "w", "twin": "w"})
    assert estimate_merge(BASE, {"a": shared}).bytes_to_read == BYTES


def test_time_is_bytes_over_speed() -> None:
    found = estimate_merge(BASE, {"a": _tune()}, bytes_per_second=BYTES)
    assert found.seconds == pytest.approx(3.0)
    assert found.at(3 * BYTES).seconds == pytest.approx(1.0)
    assert found.at(None).seconds is None


def test_a_full_disk_is_said() -> None:
    found = estimate_merge(BASE, {"a": _tune()}, target=Path("/"))
    assert found.free_disk > 0
    assert found.fits_on_disk
    full = dataclasses.replace(found, free_disk=BYTES - 1)
    assert not full.fits_on_disk
    assert full.as_dict()["fits_on_disk"] is False
    assert dataclasses.replace(found, free_disk=BYTES).fits_on_disk


def test_speed_is_measured_on_the_files_and_stops_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from paretomerge.checkpoints.preflight import estimate

    opened = open_checkpoint(write_params(tmp_path / "m", {f"w{i}": torch.ones(10) for i in range(5)}))
    clock = iter(range(100))
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: next(clock))
    # the clock is asked at the start, after each tensor, and at the end: two tensors in three ticks
    assert measure_reading([opened], longest=1.5) == pytest.approx(80 / 3)
    assert measure_reading([]) is None
