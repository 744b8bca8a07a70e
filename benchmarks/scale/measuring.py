"""A stage in a process of its own: processor seconds, wall seconds, and the peak of what is its memory alone."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class Cost:
    """What it took, start-up aside; `memory` is in bytes, above what an idle process has."""

    processor: float
    wall: float
    memory: int


def in_child(action: Callable[..., Any], *given: Any) -> Cost:
    """Run `action(*given)` in a fork of this process, so that nothing has to be imported.

    Raises:
        RuntimeError: it failed.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, action, given))
    process.start()
    theirs.close()
    try:
        found = ours.recv()
    except EOFError:
        found = "it died"
    process.join()
    if not isinstance(found, Cost):
        raise RuntimeError(f"{action.__name__}: {found}")
    return found


def _run(connection: Connection, action: Callable[..., Any], given: tuple[Any, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    peak, spent, done = [0], [0.0], threading.Event()
    before = _private()
    sampler = threading.Thread(target=_sample, args=(peak, spent, done), daemon=True)
    sampler.start()
    wall, processor = time.perf_counter(), time.process_time()
    try:
        action(*given)
    except BaseException as error:
        connection.send(f"{type(error).__name__}: {error}")
        return
    took = time.process_time() - processor, time.perf_counter() - wall
    done.set()
    connection.send(Cost(took[0] - spent[0], took[1], max(0, peak[0] - before)))


def _sample(peak: list[int], spent: list[float], done: threading.Event) -> None:
    """Looking takes time of its own, which is not the stage's."""
    while not done.wait(SAMPLE_SECONDS):
        peak[0] = max(peak[0], _private())
        spent[0] = time.thread_time()


def _private() -> int:
    """Bytes that no other process shares."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
