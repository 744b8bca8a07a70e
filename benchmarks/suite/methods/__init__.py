"""The methods, in groups."""

from collections.abc import Callable, Sequence

from benchmarks.suite.methods.base import Found, Kind, Method, Stopwatch
from benchmarks.suite.methods.classic import classic
from benchmarks.suite.methods.posteriors import posteriors, routes

__all__ = ["Found", "Kind", "Method", "Stopwatch", "methods_of"]

GROUPS: dict[str, Callable[[bool], list[Method]]] = {
    "classic": classic,
    "posteriors": posteriors,
    "routes": routes,
}
"""Name → the group's methods, small ones where asked for."""


def methods_of(groups: Sequence[str], smoke: bool = False) -> list[Method]:
    """The methods of some groups, in order."""
    return [method for name in groups if name in GROUPS for method in GROUPS[name](smoke)]
