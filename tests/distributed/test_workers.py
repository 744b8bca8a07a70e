from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from paretomerge.distributed import Outcome, ProcessPool, Serial, Workers
from paretomerge.errors import DataError, FailureError, InputError


def _open(folder: Path) -> Callable[[Any], Any]:
    """Counts how often it is called, and does what it is told."""
    with (folder / "opened").open("a") as handle:
        handle.write(f"{os.getpid()}\n")

    def work(item: Any) -> Any:
        match item:
            case "die":
                os._exit(9)
            case "refuse":
                raise DataError("no data")
            case "break":
                raise ZeroDivisionError("by zero")
            case "unsendable":
                return lambda: None
            case "pid":
                return os.getpid()
            case "threads":
                return torch.get_num_threads()
            case "slow":
                time.sleep(30)
            case float():
                time.sleep(item)
        return item

    return work


def _refuse_to_open() -> Callable[[Any], Any]:
    raise DataError("no such run")


def _die_while_opening() -> Callable[[Any], Any]:
    os._exit(3)


def _all(workers: Workers, items: list[Any]) -> list[Outcome]:
    waiting, found = list(items), []
    while waiting or workers.free < workers.size:
        while waiting and workers.free:
            workers.start(waiting.pop(0))
        outcome = workers.next()
        assert outcome is not None
        found.append(outcome)
    return found


def _opened(folder: Path) -> list[str]:
    return (folder / "opened").read_text().split()


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Workers]:
    workers = ProcessPool(2).open(partial(_open, tmp_path))
    yield workers
    workers.close()


def test_work_in_this_process_opens_once_and_waits_to_be_asked(tmp_path: Path) -> None:
    workers = Serial().open(partial(_open, tmp_path))
    assert (workers.size, workers.free, workers.next()) == (1, 1, None)
    assert not (tmp_path / "opened").exists()
    workers.start("pid")
    assert workers.free == 0
    outcomes = [workers.next(), *_all(workers, [1, "refuse", "break", 2])]
    assert outcomes[0] is not None
    assert outcomes[0].result == os.getpid()
    assert [outcome.result for outcome in outcomes[1:]] == [1, None, None, 2]  # type: ignore[union-attr]
    assert [type(outcome.error) for outcome in outcomes[2:4]] == [DataError, ZeroDivisionError]  # type: ignore[union-attr]
    assert _opened(tmp_path) == [str(os.getpid())]
    workers.start(3)
    workers.close()
    assert workers.next() is None


def test_an_interrupt_is_no_outcome() -> None:
    def interrupt(item: int) -> int:
        raise KeyboardInterrupt

    workers = Serial().open(lambda: interrupt)
    workers.start(1)
    with pytest.raises(KeyboardInterrupt):
        workers.next()


def test_a_pool_opens_once_per_process_and_survives_what_goes_wrong(pool: Workers, tmp_path: Path) -> None:
    """One pool for all that may happen to an item: starting processes is what takes the time."""
    assert pool.next() is None
    assert not pool._processes  # type: ignore[attr-defined]
    pool.start("threads")
    first = pool.next()
    assert first is not None
    assert (first.result, first.error) == (1, None)
    items = ["pid", "refuse", "break", "unsendable", 5, 6]
    outcomes = {str(outcome.item): outcome for outcome in _all(pool, items)}
    assert len(set(_opened(tmp_path))) == len(_opened(tmp_path)) == 2
    assert str(outcomes["pid"].result) in _opened(tmp_path)
    assert (outcomes["5"].result, outcomes["6"].result) == (5, 6)
    assert isinstance(outcomes["refuse"].error, DataError)
    assert str(outcomes["refuse"].error) == "no data"
    assert isinstance(outcomes["break"].error, FailureError)
    assert str(outcomes["break"].error) == "ZeroDivisionError: by zero"
    assert "pickle" in str(outcomes["unsendable"].error)
    # Later items may be ready first, and waiting has an end.
    pool.start(1.0)
    assert pool.next(0.05) is None
    pool.start(0.0)
    assert [outcome.item for outcome in (pool.next(), pool.next()) if outcome] == [0.0, 1.0]
    # A process that dies costs its item, and another one takes its place.
    pool.start("die")
    pool.start(7)
    died, lived = sorted((outcome for outcome in (pool.next(), pool.next()) if outcome), key=lambda o: str(o.item))[
        ::-1
    ]
    assert lived.result == 7
    assert isinstance(died.error, FailureError)
    assert "died (exit code 9), usually because memory ran out" in str(died.error)
    assert [outcome.result for outcome in _all(pool, [8, 0.3, 9])]
    assert len(_opened(tmp_path)) == 3
    processes = [worker.process for worker in pool._processes]  # type: ignore[attr-defined]
    pool.start("slow")
    started = time.monotonic()
    pool.close()
    assert time.monotonic() - started < 10
    assert not any(process.is_alive() for process in processes)


def test_a_setup_that_cannot_be_sent_is_refused_at_once() -> None:
    with pytest.raises(InputError, match=r"cannot be sent to worker processes .* define it at the top of a module"):
        ProcessPool(2).open(lambda: abs)


def test_an_error_while_opening_is_that_error_and_a_death_then_has_advice() -> None:
    for setup, error, message in (
        (_refuse_to_open, DataError, "^no such run$"),
        (_die_while_opening, FailureError, r"exit code 3\) before it had opened its inputs.*__main__"),
    ):
        workers = ProcessPool(1).open(setup)
        workers.start(1)
        with pytest.raises(error, match=message):
            workers.next()
        workers.close()


def test_a_worker_has_at_least_one_thread() -> None:
    with pytest.raises(InputError, match="at least one thread, got 0"):
        ProcessPool(1, threads=0)


SCRIPT = """
import sys, time
from pathlib import Path
from functools import partial
sys.path.insert(0, {root!r})
from tests.distributed.test_workers import _open
from paretomerge.distributed import ProcessPool

if __name__ == "__main__":
    workers = ProcessPool(1).open(partial(_open, Path({folder!r})))
    workers.start("pid")
    print(workers.next().result, flush=True)
    workers.start(0.5)
    time.sleep(60)
"""


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(root=str(Path(__file__).parents[2]), folder=str(tmp_path)))
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and Path(f"/proc/{worker}").exists() and not _is_zombie(worker):
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists() or _is_zombie(worker)


def _is_zombie(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
