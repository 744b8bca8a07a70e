"""Memory that runs out, files that may not grow, disks that cannot be read, and workers that die."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.faults.running import NOTHING, Fault
from tests.faults.scenarios import SCENARIOS, Stand
from tests.faults.state import calls_of, require_readable, state_of
from tests.faults.trials import faults_in_time, faults_of_limits, faults_of_reading

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("front", "finetune", "verify", "export")]


def _survive(stand: Stand, name: str, fault: Fault) -> int:
    scenario = SCENARIOS[name]
    stand.lay_out(scenario)
    ended = stand.run(scenario, fault)
    stand.require_survival(scenario, fault, ended)
    return ended.code


@pytest.mark.parametrize("name", ["merge", "fit", *SLOW])
def test_memory_runs_out_and_files_may_not_grow(stand: Stand, name: str) -> None:
    """Limits of the address space on top of what the process has when it starts, and of a quota on single files."""
    codes: dict[str, list[int]] = {}
    for fault in faults_of_limits():
        codes.setdefault(fault.kind, []).append(_survive(stand, name, fault))
    assert all(any(each) for each in codes.values()), "a limit was never met"


@pytest.mark.parametrize("name", ["merge", "fit", *SLOW])
def test_a_disk_that_cannot_be_read(stand: Stand, name: str) -> None:
    for fault in faults_of_reading(stand.undisturbed(SCENARIOS[name])[2].reads, 4, seed=1):
        _survive(stand, name, fault)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "front with workers"])
def test_kills_at_random_instants(stand: Stand, name: str) -> None:
    for fault in faults_in_time(stand.undisturbed(SCENARIOS[name])[2].seconds, 6, seed=len(name)):
        _survive(stand, name, fault)


@pytest.mark.slow
def test_workers_that_are_killed_are_replaced_and_their_models_scored_elsewhere(stand: Stand) -> None:
    """As the kernel does when memory runs out."""
    scenario = SCENARIOS["front with workers"]
    _, after, _, _ = stand.undisturbed(scenario)
    stand.lay_out(scenario)
    (stand.folder / "control.txt").write_text("slow 0.3")
    running = stand.server.start(list(scenario.arguments), stand.folder)
    killed, deadline = 0, time.monotonic() + 100
    while killed < 2 and time.monotonic() < deadline:
        calls = sum(calls_of(stand.folder).values())
        workers = _children(running.process)
        if calls >= 2 + 4 * killed and workers:
            os.kill(workers[0], signal.SIGKILL)
            killed += 1
        time.sleep(0.05)
    ended = running.wait()
    assert killed
    assert ended.code == 0, ended
    (stand.folder / "control.txt").unlink()
    require_readable(stand.folder)
    found = state_of(stand.folder)
    assert found.facts["front"] == after.facts["front"]
    assert found.evaluations == after.evaluations


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(stand: Stand) -> None:
    scenario = SCENARIOS["front with workers"]
    stand.undisturbed(scenario)
    stand.lay_out(scenario)
    (stand.folder / "control.txt").write_text("slow 0.2")
    running = stand.server.start(list(scenario.arguments), stand.folder)
    deadline = time.monotonic() + 100
    while not calls_of(stand.folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = _children(running.process)
    assert workers
    running.kill()
    ended = running.wait()
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    (stand.folder / "control.txt").unlink()
    stand.require_survival(scenario, NOTHING, ended)


def _children(process: int) -> list[int]:
    """Worker processes; the tracker of shared resources is none."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            is_worker = b"spawn_main" in (place / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == process and is_worker:
            found.append(int(place.name))
    return found
