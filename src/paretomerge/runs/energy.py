"""How much energy a piece of work takes, where the machine has counters that can be read; nothing elsewhere.

Counters are of the hardware and not of a process: other work on the same machine counts too. Two kinds are read:

- processors and memory: the running average power limit counters (RAPL) that Linux shows below `/sys/class/powercap`;
  most systems let only the administrator read them;
- NVIDIA GPUs: the energy counter of the management library (NVML), for the GPUs that torch uses in this process.

A meter never breaks what it meters: what cannot be read is unknown.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from paretomerge.types import Ledger

POWERCAP = Path("/sys/class/powercap")
NVML = "libnvidia-ml.so.1"
POLL_SECONDS = 60.0
"""RAPL counters start again at zero after about 260 kJ: at a kilowatt that is four minutes, so they are read sooner."""


@dataclass(frozen=True)
class EnergyCounter:
    """One counter of joules that only grows.

    Args:
        name: the hardware.
        read: joules so far; may raise.
        wraps_at: where it starts again at zero; never when `None`.
        in_use: whether the hardware works for this process.
    """

    name: str
    read: Callable[[], float]
    wraps_at: float | None = None
    in_use: Callable[[], bool] = lambda: True


class EnergyMeter:
    """The energy of a piece of work:  `with EnergyMeter() as meter: ...; ledger = meter.charged(ledger)`.

    Args:
        counters: what is read; the counters of this machine when `None`.
    """

    def __init__(self, counters: Sequence[EnergyCounter] | None = None) -> None:
        """Start to count."""
        self._counters = list(machine_counters() if counters is None else counters)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.restart()
        if any(counter.wraps_at is not None for counter in self._counters):
            self._thread = threading.Thread(target=self._keep_reading, daemon=True)
            self._thread.start()

    def __enter__(self) -> EnergyMeter:
        """For `with`."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Stop reading counters."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def restart(self) -> None:
        """Count from now on."""
        with self._lock:
            self._last = [_value(counter) for counter in self._counters]
            self._used: list[float | None] = [None if last is None else 0.0 for last in self._last]
            self._started = time.perf_counter()

    def joules(self) -> float | None:
        """Energy since the start, of all hardware in use; `None` when nothing is metered, or a part of it is not."""
        with self._lock:
            self._advance()
            used = [used for used, counter in zip(self._used, self._counters, strict=True) if _in_use(counter)]
        known = [joules for joules in used if joules is not None]
        return sum(known) if known and len(known) == len(used) else None

    def charged(self, ledger: Ledger) -> Ledger:
        """The ledger with the energy since the start (or the last charge), and count from now on.

        Seconds that the ledger has from earlier sittings were not metered here.
        """
        joules, elapsed = self.joules(), time.perf_counter() - self._started
        self.restart()
        if joules is None or not ledger.seconds:
            return ledger
        return replace(ledger, joules=joules, metered_seconds=min(elapsed, ledger.seconds))

    def _advance(self) -> None:
        for place, counter in enumerate(self._counters):
            now, before, used = _value(counter), self._last[place], self._used[place]
            if now is None or before is None or used is None:
                self._used[place] = None
                continue
            # A counter that went down has started again; what it missed is not known when it is not said where.
            step = now - before if now >= before else now - before + (counter.wraps_at or before - now)
            self._used[place], self._last[place] = used + step, now

    def _keep_reading(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            with self._lock:
                self._advance()


def machine_counters() -> list[EnergyCounter]:
    """Every counter of this machine that can be read."""
    return [*rapl_counters(), *nvml_counters()]


def rapl_counters(folder: Path = POWERCAP) -> list[EnergyCounter]:
    """Packages, and memory beside them; other domains are parts of these and would be counted twice."""
    found = []
    try:
        for domain in sorted(folder.glob("intel-rapl:*")):
            name = (domain / "name").read_text(encoding="ascii").strip()
            if not (name.startswith("package") or name == "dram"):
                continue
            energy = domain / "energy_uj"
            wraps_at = 1e-6 * float((domain / "max_energy_range_uj").read_text(encoding="ascii"))
            counter = EnergyCounter(name, lambda path=energy: 1e-6 * float(path.read_text("ascii")), wraps_at)  # type: ignore[misc]
            counter.read()
            found.append(counter)
    except (OSError, ValueError):
        return []  # some of the packages would look like all of them
    return found


def nvml_counters() -> list[EnergyCounter]:
    """The GPUs."""
    try:
        library = _nvml()
        count = ctypes.c_uint()
        _require(library.nvmlDeviceGetCount_v2(ctypes.byref(count)))
        return [_gpu(library, number) for number in range(count.value)]
    except (OSError, AttributeError, RuntimeError):
        return []


@cache
def _nvml() -> Any:
    library = ctypes.CDLL(NVML)
    _require(library.nvmlInit_v2())
    return library


def _gpu(library: Any, number: int) -> EnergyCounter:
    handle, text = ctypes.c_void_p(), ctypes.create_string_buffer(96)
    _require(library.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(handle)))
    _require(library.nvmlDeviceGetUUID(handle, text, len(text)))
    name = text.value.decode()

    def read() -> float:
        millijoules = ctypes.c_ulonglong()
        _require(library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules)))
        return 1e-3 * millijoules.value

    return EnergyCounter(name, read, None, lambda: name.removeprefix("GPU-") in _gpus_of_torch())


def _gpus_of_torch() -> set[str]:
    """The identifiers of the GPUs that torch sees, once it uses any; asking never makes it use one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return set()
    return {str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())}


def _require(code: int) -> None:
    if code:
        raise RuntimeError(f"the library of the GPUs answered with error {code}")


def _value(counter: EnergyCounter) -> float | None:
    try:
        return counter.read()
    except Exception:
        return None  # whatever a driver does, the work it powers goes on


def _in_use(counter: EnergyCounter) -> bool:
    try:
        return counter.in_use()
    except Exception:
        return False
