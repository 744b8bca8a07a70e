"""Which of several shell patterns matches a name first."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase


class Patterns:
    """Shell patterns (`*`, `?`, `[…]`) in order; the first that matches a name wins.

    Patterns without wildcards are looked up, so that one for every tensor of a model costs nothing.

    >>> Patterns(["layers.0.*", "head.weight"]).first("head.weight")
    2
    >>> Patterns(["layers.0.*"]).first("head.weight")
    0
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        """Sort out those without wildcards."""
        self._exact: dict[str, int] = {}
        self._wild: list[tuple[int, str]] = []
        for number, pattern in enumerate(patterns, start=1):
            if any(mark in pattern for mark in "*?["):
                self._wild.append((number, pattern))
            else:
                self._exact.setdefault(pattern, number)

    def first(self, name: str) -> int:
        """The number, from 1, of the first pattern that matches; 0 if none does."""
        exact = self._exact.get(name, 0)
        for number, pattern in self._wild:
            if exact and exact < number:
                break
            if fnmatchcase(name, pattern):
                return number
        return exact
