"""Workers that open what they need once and then do one piece of work after the other, each result as it is there.

A piece that raises, or whose process dies, is an outcome like any other: the remaining work goes on.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, Protocol, TypeVar

from paretomerge.errors import FailureError, InputError, ParetomergeError

Item = TypeVar("Item")
Result = TypeVar("Result")
Setup = Callable[[], Callable[[Item], Result]]
"""Opens what a worker needs and returns what it does with each item; a pool pickles it."""

_CLOSING_SECONDS = 2.0


@dataclass(frozen=True, eq=False)
class Outcome(Generic[Item, Result]):
    """What became of an item: a result, or the error that was raised instead."""

    item: Item
    result: Result | None
    error: Exception | None = None


class Workers(Protocol[Item, Result]):
    """A few workers, each with at most one item at a time."""

    @property
    def size(self) -> int:
        """How many items can be worked on at a time; it changes where a cluster grows or shrinks."""
        ...

    @property
    def free(self) -> int:
        """How many more can be started now."""
        ...

    def start(self, item: Item) -> None:
        """Start an item on a free worker."""
        ...

    def next(self, seconds: float | None = None) -> Outcome[Item, Result] | None:
        """The next item that is done, in any order.

        `None` when none is after `seconds`, when none was started, or when more can be started than before.
        """
        ...

    def close(self) -> None:
        """Stop; what is being worked on is lost."""
        ...


class OwnWorker(Generic[Item, Result]):
    """Works in this process, when asked for the next result."""

    def __init__(self, setup: Setup[Item, Result]) -> None:
        """Nothing is opened before the first item."""
        self._setup, self._work = setup, None
        self._items: list[Item] = []

    size = 1

    @property
    def free(self) -> int:
        """One, unless an item waits."""
        return 1 - len(self._items)

    def start(self, item: Item) -> None:
        """Keep the item for `next`."""
        self._items.append(item)

    def next(self, seconds: float | None = None) -> Outcome[Item, Result] | None:
        """Do the work."""
        if not self._items:
            return None
        if self._work is None:
            self._work = self._setup()  # type: ignore[assignment]
        item = self._items.pop()
        try:
            return Outcome(item, self._work(item))  # type: ignore[misc]
        except Exception as error:
            return Outcome(item, None, error)

    def close(self) -> None:
        """Forget what waits."""
        self._items.clear()


class _Process:
    """One worker process; `item` is what it works on."""

    def __init__(self, setup: bytes, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, setup, threads), daemon=False)
        self.process.start()
        theirs.close()
        self.ready = False
        self.busy = False
        self.item: Any = None


class PoolWorkers(Generic[Item, Result]):
    """Fresh processes, started when there is work for them and replaced when they die.

    Args:
        setup: picklable; called once in each process.
        size: how many processes at most.
        threads: torch threads of each.

    Raises:
        InputError: a setup that cannot be sent to another process.
        FailureError: no process could open its inputs.
    """

    def __init__(self, setup: Setup[Item, Result], size: int, threads: int = 1) -> None:
        """No process yet."""
        try:
            self._setup = pickle.dumps(setup)
        except Exception as error:
            raise InputError(
                f"{setup!r:.80} cannot be sent to worker processes ({error}): define it at the top of a module, or "
                "work serially"
            ) from error
        self.size, self._threads = size, threads
        self._processes: list[_Process] = []

    @property
    def free(self) -> int:
        """Processes without an item, and those not yet started."""
        return self.size - sum(worker.busy for worker in self._processes)

    def start(self, item: Item) -> None:
        """Give the item to an idle process, or to a new one."""
        idle = [worker for worker in self._processes if not worker.busy]
        worker = idle[0] if idle else _Process(self._setup, self._threads)
        if not idle:
            self._processes.append(worker)
        worker.item, worker.busy = item, True
        with suppress(OSError):  # of a dead process, which `next` finds out
            worker.connection.send(item)

    def next(self, seconds: float | None = None) -> Outcome[Item, Result] | None:
        """Wait for a process that is done, or has died."""
        while any(worker.busy for worker in self._processes):
            connections = {worker.connection: worker for worker in self._processes}
            readable = wait(list(connections), seconds)
            if not readable:
                return None
            outcome = self._received(connections[readable[0]])  # type: ignore[index]
            if outcome is not None:
                return outcome
        return None

    def close(self) -> None:
        """End idle processes and stop busy ones."""
        for worker in self._processes:
            worker.connection.close()
            if worker.busy:
                worker.process.terminate()
        for worker in self._processes:
            worker.process.join(_CLOSING_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._processes.clear()

    def _received(self, worker: _Process) -> Outcome[Item, Result] | None:
        try:
            kind, content = worker.connection.recv()
        except (EOFError, OSError):
            return self._buried(worker)
        if kind == "ready":
            worker.ready = True
            return None
        if kind == "broken":
            raise content
        worker.busy = False
        return Outcome(worker.item, content) if kind == "done" else Outcome(worker.item, None, content)

    def _buried(self, worker: _Process) -> Outcome[Item, Result] | None:
        self._processes.remove(worker)
        worker.connection.close()
        worker.process.join()
        code = worker.process.exitcode
        if not worker.ready and not any(other.ready for other in self._processes):
            raise FailureError(
                f"a worker process ended (exit code {code}) before it had opened its inputs: memory ran out, or a "
                'script starts workers outside of  if __name__ == "__main__":'
            )
        if not worker.busy:
            return None
        return Outcome(
            worker.item,
            None,
            FailureError(
                f"the worker process died (exit code {code}), usually because memory ran out: use fewer workers"
            ),
        )


def _serve(connection: Connection, setup: bytes, threads: int) -> None:
    """The life of a worker process; it ends when its parent closes the connection, or dies."""
    # An interrupt of the terminal reaches all processes; the parent decides what becomes of this one.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        import torch

        torch.set_num_threads(threads)
        work = pickle.loads(setup)()
    except Exception as error:
        connection.send(("broken", sendable(error)))
        return
    try:
        connection.send(("ready", None))
        while True:
            connection.send(reply_of(work, connection.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def reply_of(work: Callable[[Any], Any], item: Any) -> tuple[str, Any]:
    """What a worker answers: `("done", result)`, or `("raised", error)`."""
    try:
        result = work(item)
        pickle.dumps(result)
        return "done", result
    except Exception as error:
        return "raised", sendable(error)


def sendable(error: Exception) -> Exception:
    """The error, or its text where it cannot be pickled and read back."""
    if isinstance(error, ParetomergeError):
        return error
    return FailureError(f"{type(error).__name__}: {error}")
