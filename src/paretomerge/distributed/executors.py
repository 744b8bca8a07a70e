"""Where independent pieces of work run: one after the other, or in a pool of processes.

The only room that knows about workers. Functions and items given to a pool must be picklable. With `map`, results
come back in the order of the items, so that every executor gives the same answer; with `open`, as they are ready.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Protocol, TypeVar

from paretomerge.distributed.workers import OwnWorker, PoolWorkers, Setup, Workers
from paretomerge.errors import FailureError, InputError

Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(Protocol):
    """`map(f, items)` yields `f(item)` in the order of the items; `open(setup)` gives workers to start items on."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Apply `function` to every item."""
        ...

    def open(self, setup: Setup[Item, Result]) -> Workers[Item, Result]:
        """Workers that call `setup` once each and apply what it returns to every item; close them."""
        ...


@dataclass(frozen=True)
class Serial:
    """One after the other, in this process."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Apply `function` to every item."""
        return (function(item) for item in items)

    def open(self, setup: Setup[Item, Result]) -> Workers[Item, Result]:
        """The only worker is this process."""
        return OwnWorker(setup)


@dataclass(frozen=True)
class ProcessPool:
    """A pool of `workers` fresh processes with one torch thread each, or `threads` of them in `open`.

    Raises:
        FailureError: a worker died (usually out of memory).
        InputError: fewer workers than one.
    """

    workers: int = 2
    threads: int = 1

    def __post_init__(self) -> None:
        """Refuse an empty pool."""
        if self.workers < 1:
            raise InputError(f"a process pool needs at least one worker, got {self.workers}")
        if self.threads < 1:
            raise InputError(f"a worker needs at least one thread, got {self.threads}")

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Apply `function` to every item."""
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_use_one_thread)
        try:
            yield from pool.map(function, items)
        except BrokenProcessPool as error:
            raise FailureError(
                "a worker process died, usually because memory ran out: use fewer workers, or run serially"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def open(self, setup: Setup[Item, Result]) -> Workers[Item, Result]:
        """Processes that are started when there is work for them."""
        return PoolWorkers(setup, self.workers, self.threads)


def _use_one_thread() -> None:
    import torch

    torch.set_num_threads(1)
