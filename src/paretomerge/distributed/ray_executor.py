"""Ray: workers are actors on one machine or on all nodes of a cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from paretomerge.distributed.ray_workers import RayWorkers
from paretomerge.distributed.workers import Setup, Workers
from paretomerge.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Ray:
    """Actors of a Ray cluster; the extra `ray`.

    A worker that dies is replaced, and its item started elsewhere. Functions, setups and items must be picklable.
    Nothing is connected or started before the first item.

    Args:
        workers: how many actors; by default as many as the cluster has room for, which is looked at again and again,
            so that a cluster may grow and shrink while work goes on.
        address: `host:port` of a cluster, `"auto"` for one that runs on this machine, `"local"` for a new one; `None`
            takes a running one (`RAY_ADDRESS`, then this machine's) and starts one otherwise.
        cpus_per_worker: what an actor reserves; it has as many torch threads, at least one.
        gpus_per_worker: what an actor reserves; it sees no other GPUs. A fraction lets actors share one.
        retries: how often an item whose worker died is started again; after that it is a failure.
        patience: seconds that work waits for a first node with room.

    Raises:
        InputError: numbers that cannot be.
    """

    workers: int | None = None
    address: str | None = None
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0
    retries: int = 2
    patience: float = 300.0

    def __post_init__(self) -> None:
        """Refuse what no cluster can give."""
        if self.workers is not None and self.workers < 1:
            raise InputError(f"Ray needs at least one worker, got {self.workers}: leave it out for all that fit")
        if self.cpus_per_worker < 0 or self.gpus_per_worker < 0 or not self.cpus_per_worker + self.gpus_per_worker > 0:
            raise InputError(
                f"a worker with {self.cpus_per_worker:g} CPUs and {self.gpus_per_worker:g} GPUs cannot be placed: it "
                "needs some of at least one"
            )
        if self.retries < 0:
            raise InputError(f"an item cannot be started {self.retries} times again: give 0 or more")

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Apply `function` to every item; results come in the order of the items."""
        workers: RayWorkers[tuple[int, Item], Result] = self._workers(partial(_applying, function))
        try:
            yield from _in_order(workers, enumerate(items))
        finally:
            workers.close()

    def open(self, setup: Setup[Item, Result]) -> Workers[Item, Result]:
        """Actors that are started when there is work for them."""
        return self._workers(setup)

    def _workers(self, setup: Setup[Item, Result]) -> RayWorkers[Item, Result]:
        return RayWorkers(
            setup,
            self.workers,
            self.address,
            {"CPU": self.cpus_per_worker, "GPU": self.gpus_per_worker},
            self.retries,
            self.patience,
        )


def _applying(function: Callable[[Any], Any]) -> Callable[[tuple[int, Any]], Any]:
    return lambda numbered: function(numbered[1])


def _in_order(workers: RayWorkers[tuple[int, Item], Result], items: Iterator[tuple[int, Item]]) -> Iterator[Result]:
    """Results in the order of the items; an error is raised at its place, and items are taken as there is room."""
    found: dict[int, Any] = {}
    coming: deque[int] = deque()
    more = True
    while more or coming:
        while more and workers.free:
            taken = next(islice(items, 1), None)
            more = taken is not None
            if taken is not None:
                coming.append(taken[0])
                workers.start(taken)
        while coming and coming[0] in found:
            outcome = found.pop(coming.popleft())
            if outcome.error is not None:
                raise outcome.error
            yield outcome.result
        if coming and (outcome := workers.next()) is not None:
            found[outcome.item[0]] = outcome
