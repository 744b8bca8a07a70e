"""What a command takes: wall and CPU seconds, and the peak of its private memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Cost:
    """One run of a command; `private` is in bytes, and 0 where the system does not tell."""

    wall: float
    cpu: float
    private: int


def run_command(command: Sequence[str], folder: Path) -> Cost:
    """Run a command to its end, sampling the memory that is its own (not shared, not the page cache).

    Raises:
        RuntimeError: it failed; with what it said.
    """
    log = folder / "command.log"
    started = time.perf_counter()
    with log.open("w") as handle:
        process = subprocess.Popen(
            command, cwd=folder, stdout=handle, stderr=subprocess.STDOUT, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
        peak = [0]
        done = threading.Event()
        sampler = threading.Thread(target=_sample, args=(process.pid, done, peak))
        sampler.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        done.set()
        sampler.join()
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {log.read_text()[-2000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak[0])


def in_turns(actions: dict[str, Callable[[], Cost]], repeats: int) -> dict[str, list[Cost]]:
    """Each action `repeats` times, in turns, so that a slow minute of the machine meets all of them."""
    found: dict[str, list[Cost]] = {name: [] for name in actions}
    for _ in range(repeats):
        for name, action in actions.items():
            found[name].append(action())
    return found


def summary(costs: Sequence[Cost]) -> dict[str, float]:
    """Medians, and the peak of the peaks in megabytes."""
    return {
        "wall": round(statistics.median(cost.wall for cost in costs), 3),
        "cpu": round(statistics.median(cost.cpu for cost in costs), 3),
        "private_mb": round(max(cost.private for cost in costs) / 1e6),
        "runs": [{key: round(value, 3) for key, value in asdict(cost).items()} for cost in costs],  # type: ignore[dict-item]
    }


def seconds_of(action: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _sample(process: int, done: threading.Event, peak: list[int]) -> None:
    rollup = Path(f"/proc/{process}/smaps_rollup")
    while not done.wait(SAMPLE_SECONDS):
        try:
            lines = rollup.read_text().splitlines()
        except OSError:
            return
        own = sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
        peak[0] = max(peak[0], own * 1024)
