"""Claims on evaluations: several processes share a journal, and no two measure the same model at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from paretomerge.errors import ParetomergeError
from paretomerge.runs.journal import Journal
from paretomerge.runs.owners import new_owner

SECONDS = 120.0
"""How long a claim holds after its owner was last heard of; an owner that died on the same machine is known at once."""

_POLL_SECONDS = 0.25


class Claims:
    """The claims of one process, kept alive by a thread while it works.

    Args:
        journal: the shared journal.
        seconds: how long a claim holds without a sign of life.
    """

    def __init__(self, journal: Journal, seconds: float = SECONDS) -> None:
        """No claim yet."""
        self._journal, self._seconds = journal, seconds
        self._owner = new_owner()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, key: str) -> bool:
        """Claim an evaluation; false when another process is at it."""
        if self._thread is None:
            thread = threading.Thread(target=self._keep_alive, daemon=True)
            thread.start()  # which fails where memory is short
            self._thread = thread
        return self._journal.claim(key, self._owner, self._seconds)

    def give_back(self, key: str) -> None:
        """Give up a claim."""
        self._journal.release(self._owner, key)

    def close(self) -> None:
        """Give up all claims."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._journal.release(self._owner)

    def _keep_alive(self) -> None:
        while not self._stop.wait(self._seconds / 4):
            try:
                # A connection belongs to one thread.
                with Journal(self._journal.path) as journal:
                    journal.renew(self._owner, self._seconds)
            except ParetomergeError:
                continue  # a claim that runs out costs at worst an evaluation that is measured twice


@contextmanager
def alone(journal: Journal, key: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a claim for work that one process does for all; `waiting` is called once if another process holds it."""
    claims = Claims(journal)
    try:
        told = False
        while not claims.take(key):
            if not told:
                waiting()
            told = True
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        claims.close()
