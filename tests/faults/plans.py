"""Which faults a command gets: each kind at operations that are spread over its whole life."""

from __future__ import annotations

import errno
import itertools
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tests.faults.running import Fault, Mode

SPACE = ("create", "write", "truncate", "make")
CHANGES = (*SPACE, "sync", "rename", "remove")


@dataclass(frozen=True)
class Kind:
    """A kind of fault, and the operations that it can hit."""

    name: str
    mode: Mode
    code: int = 0
    hits: tuple[str, ...] = CHANGES
    power: bool = False
    names: bool = False

    def at(self, operation: int) -> Fault:
        """At the operation of this number."""
        return Fault(self.name, self.mode, operation, self.code, power=self.power, names=self.names)


KINDS = (
    Kind("kill -9 before an operation", Mode.KILL_BEFORE),
    Kind("kill -9 after an operation", Mode.KILL_AFTER),
    Kind("kill -9 within a write", Mode.KILL_TORN, hits=("write",)),
    Kind("power failure, content lost", Mode.KILL_AFTER, power=True),
    Kind("power failure, names lost too", Mode.KILL_AFTER, power=True, names=True),
    Kind("disk full", Mode.ERROR_FROM, errno.ENOSPC, SPACE),
    Kind("disk full for a moment", Mode.ERROR_ONCE, errno.ENOSPC, SPACE),
    Kind("disk error", Mode.ERROR_ONCE, errno.EIO),
    Kind("disk becomes read-only", Mode.ERROR_FROM, errno.EROFS),
    Kind("short write", Mode.SHORT_WRITE, hits=("write",)),
    Kind("interrupt", Mode.SIGNAL, int(signal.SIGINT)),
    Kind("termination", Mode.SIGNAL, int(signal.SIGTERM)),
)


def operations_of(log: str) -> list[str]:
    """The operations of a command, in their order, from the log of an undisturbed run."""
    found = [line.split("\t")[1] for line in log.splitlines()]
    return [what for what in found if what in CHANGES]


def places(operations: Sequence[str], hits: Sequence[str], count: int, seed: int = 0) -> list[int]:
    """Numbers (from 1) of operations that can be hit: all where they are few, else one of each of `count` parts."""
    possible = [number for number, what in enumerate(operations, start=1) if what in hits]
    if len(possible) <= count:
        return possible
    edges = np.linspace(0, len(possible), count + 1)
    rng = np.random.default_rng(seed)
    return [possible[int(rng.uniform(low, high))] for low, high in itertools.pairwise(edges)]


def plan(log: str, count: int, seed: int = 0, kinds: Sequence[Kind] = KINDS) -> Iterator[Fault]:
    """`count` faults of every kind."""
    operations = operations_of(log)
    for number, kind in enumerate(kinds):
        for at in places(operations, kind.hits, count, seed + number):
            yield kind.at(at)
