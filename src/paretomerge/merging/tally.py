"""Counting, from several threads, what a merge should report when it is done."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping


class Tally:
    """Named counts."""

    def __init__(self) -> None:
        """Nothing counted."""
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Tally], tuple[()]]:
        """Another process counts for itself."""
        return Tally, ()

    def add(self, name: str, count: int) -> None:
        """Add to one count."""
        if count:
            with self._lock:
                self._counts[name] += count

    @property
    def counts(self) -> Mapping[str, int]:
        """What was counted so far; names that were never counted are absent."""
        with self._lock:
            return dict(self._counts)
