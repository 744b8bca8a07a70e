from __future__ import annotations

from pathlib import Path

import pytest
import torch

from paretomerge.errors import StorageError
from paretomerge.planning import Cluster
from paretomerge.stages.planning import machine
from paretomerge.stages.planning.machine import measure_machine


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small enough for a test."""
    monkeypatch.setattr(machine, "WIDTH", 128)
    monkeypatch.setattr(machine, "ELEMENTS", 1 << 16)
    monkeypatch.setattr(machine, "FILE_BYTES", 4 << 20)


def test_this_machine_has_numbers_that_machines_have(tmp_path: Path) -> None:
    """Between a calculator and a supercomputer; and a file can be made of it."""
    found = measure_machine(tmp_path, repeats=2, start=False)
    assert 1e8 < found.flops["float32"] < 1e14
    assert 1e8 < found.bandwidth < 1e13
    assert 1e7 < found.digest < 1e11
    assert 1e6 < found.read < 1e12
    assert 1e5 < found.write < 1e12
    assert 1e-8 < found.launch < 1e-2
    assert found.host_memory > 1e8
    assert found.shares_memory
    assert Cluster.parse(found.as_dict()).machine == found
    assert list(tmp_path.iterdir()) == []


def test_devices_are_cores_as_threads_take_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores: eight processes of one thread each."""
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 8)
    assert torch.get_num_threads() == 1
    assert measure_machine(tmp_path, repeats=1, start=False).devices == 8


def test_a_process_takes_a_while_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is imported, in processor seconds."""
    monkeypatch.setattr(machine, "STARTS", "sum(range(10**7))")
    assert 0.05 < machine._start_up() < 60


def test_a_disk_that_is_full_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written."""
    monkeypatch.setattr(machine, "free_bytes", lambda path: 10)
    with pytest.raises(StorageError, match="name another folder"):
        measure_machine(tmp_path, repeats=1, start=False)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """As an error of ours."""
    with pytest.raises(StorageError, match="cannot measure the disk"):
        measure_machine(tmp_path / "nowhere", repeats=1, start=False)
