"""What several methods need is made once, and charged to each of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any

from benchmarks.suite.methods.base import Stopwatch
from benchmarks.suite.setting import Setting


class Kept:
    """Results by key, with the core-seconds that each of them took."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._found: dict[Hashable, tuple[Any, float]] = {}

    def get(self, key: Hashable, make: Callable[[], Any]) -> tuple[Any, float]:
        """The result, and the core-seconds that were saved because it was there; `make` is called if it was not."""
        if key in self._found:
            return self._found[key]
        watch = Stopwatch()
        result = make()
        self._found[key] = result, watch.seconds
        return result, 0.0


@lru_cache(maxsize=1)
def kept_of(setting: Setting) -> Kept:
    """What is kept for one seed of one setting; that of the seed before is let go."""
    return Kept()
