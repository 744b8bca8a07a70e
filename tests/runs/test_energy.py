from __future__ import annotations

import ctypes
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from paretomerge.runs import EnergyMeter, energy
from paretomerge.runs.energy import EnergyCounter, nvml_counters, rapl_counters
from paretomerge.types import Ledger


class Watched:
    """A counter that a test turns on by hand."""

    def __init__(self, joules: float = 0.0) -> None:
        self.joules = joules
        self.broken = False

    def __call__(self) -> float:
        if self.broken:
            raise OSError("gone")
        return self.joules


def test_a_ledger_gets_the_energy_between_start_and_charge() -> None:
    one, other = Watched(100.0), Watched(7.0)
    with EnergyMeter([EnergyCounter("a", one), EnergyCounter("b", other)]) as meter:
        one.joules, other.joules = 130.0, 9.5
        first = meter.charged(Ledger(evaluations=1, seconds=1e-9))
        one.joules = 131.0
        second = meter.charged(Ledger(seconds=1e-9))
    assert (first.joules, first.evaluations, first.metered_seconds) == (32.5, 1, 1e-9)
    assert second.joules == 1.0


def test_without_counters_the_energy_is_unknown() -> None:
    with EnergyMeter([]) as meter:
        assert meter.joules() is None
        assert meter.charged(Ledger(seconds=2.0)) == Ledger(seconds=2.0)


def test_seconds_of_earlier_sittings_are_not_metered() -> None:
    with EnergyMeter([EnergyCounter("a", Watched())]) as meter:
        charged = meter.charged(Ledger(seconds=5000.0))
    assert charged.joules == 0.0
    assert charged.metered_seconds is not None
    assert charged.metered_seconds < 100
    assert charged.is_partly_metered


def test_hardware_that_is_not_in_use_does_not_count_and_hardware_in_use_that_cannot_be_read_makes_all_unknown() -> None:
    busy, idle, using = Watched(), Watched(), [False]
    counters = [EnergyCounter("busy", busy), EnergyCounter("idle", idle, in_use=lambda: using[0])]
    with EnergyMeter(counters) as meter:
        busy.joules, idle.joules = 5.0, 50.0
        assert meter.joules() == 5.0
        using[0] = True
        assert meter.joules() == 55.0
        idle.broken = True
        assert meter.joules() is None


def test_a_counter_that_breaks_breaks_nothing() -> None:
    watched = Watched()
    watched.broken = True

    def explode() -> bool:
        raise RuntimeError("no driver")

    with EnergyMeter([EnergyCounter("a", watched), EnergyCounter("b", Watched(), in_use=explode)]) as meter:
        watched.broken = False
        assert meter.joules() is None


def test_a_counter_that_starts_again_at_zero_is_followed() -> None:
    watched = Watched(990.0)
    with EnergyMeter([EnergyCounter("a", watched, wraps_at=1000.0)]) as meter:
        watched.joules = 15.0
        assert meter.joules() == 25.0


def test_a_counter_that_wraps_is_read_in_the_meantime_and_the_reader_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "POLL_SECONDS", 0.005)
    watched, before = Watched(), threading.active_count()
    with EnergyMeter([EnergyCounter("a", watched, wraps_at=1000.0)]) as meter:
        for joules in (600.0, 200.0, 800.0):
            watched.joules = joules
            deadline = time.monotonic() + 5
            while meter._last != [joules] and time.monotonic() < deadline:
                time.sleep(0.002)
        assert meter._last == [800.0]
        assert meter.joules() == 1800.0
    assert threading.active_count() == before


def domain(folder: Path, number: str, name: str, microjoules: int, wraps_at: int = 2_000_000) -> Path:
    path = folder / f"intel-rapl:{number}"
    path.mkdir()
    (path / "name").write_text(name + "\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    (path / "max_energy_range_uj").write_text(f"{wraps_at}\n")
    return path


def test_packages_and_memory_are_read_and_their_parts_are_not(tmp_path: Path) -> None:
    domain(tmp_path, "0", "package-0", 1_500_000)
    domain(tmp_path, "0:0", "core", 900_000)
    domain(tmp_path, "0:1", "dram", 250_000)
    domain(tmp_path, "1", "psys", 9_000_000)
    found = rapl_counters(tmp_path)
    assert [counter.name for counter in found] == ["package-0", "dram"]
    assert [counter.read() for counter in found] == [1.5, 0.25]
    assert [counter.wraps_at for counter in found] == [2.0, 2.0]


def test_a_package_that_nobody_may_read_leaves_no_counter(tmp_path: Path) -> None:
    domain(tmp_path, "0", "package-0", 1_500_000)
    (domain(tmp_path, "1", "package-1", 1) / "energy_uj").unlink()
    assert rapl_counters(tmp_path) == []
    assert rapl_counters(tmp_path / "none") == []


class Library:
    """What the meter asks of the library of two GPUs."""

    def __init__(self) -> None:
        self.millijoules = [1000, 5000]
        self.code = 0

    def nvmlDeviceGetCount_v2(self, count) -> int:
        count._obj.value = 2
        return self.code

    def nvmlDeviceGetHandleByIndex_v2(self, number, handle) -> int:
        handle._obj.value = number + 1
        return 0

    def nvmlDeviceGetUUID(self, handle, text, size) -> int:
        text.value = f"GPU-{handle.value:04d}".encode()
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, joules) -> int:
        joules._obj.value = self.millijoules[handle.value - 1]
        return self.code


def test_only_gpus_that_torch_uses_count(monkeypatch: pytest.MonkeyPatch) -> None:
    library, initialised = Library(), [False]
    monkeypatch.setattr(energy, "_nvml", lambda: library)
    cuda = SimpleNamespace(
        is_initialized=lambda: initialised[0],
        device_count=lambda: 1,
        get_device_properties=lambda i: SimpleNamespace(uuid="0002"),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    with EnergyMeter(nvml_counters()) as meter:
        library.millijoules = [9000, 6500]
        assert meter.joules() is None
        initialised[0] = True
        assert meter.joules() == 1.5


def test_a_machine_without_gpus_or_with_a_driver_that_fails_has_no_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    library.code = 999
    monkeypatch.setattr(energy, "_nvml", lambda: library)
    assert nvml_counters() == []
    monkeypatch.setattr(energy, "_nvml", lambda: ctypes.CDLL("libno-such-library.so"))
    assert nvml_counters() == []


def test_the_counters_of_this_machine_can_be_asked_for() -> None:
    with EnergyMeter() as meter:
        joules = meter.joules()
    assert joules is None or joules >= 0
