"""The methods, in groups."""

from collections.abc import Callable, Sequence

from benchmarks.suite.methods.ablations import ablations, ablations_few
from benchmarks.suite.methods.anchored import anchored
from benchmarks.suite.methods.base import Found, Kind, Method, NotHere, Stopwatch
from benchmarks.suite.methods.classic import classic
from benchmarks.suite.methods.mixtures import mixtures, mixtures_few
from benchmarks.suite.methods.peers import peers
from benchmarks.suite.methods.posteriors import posteriors, posteriors_few, routes
from benchmarks.suite.methods.searches import searches, searches_few
from benchmarks.suite.methods.steps import steps

__all__ = ["Found", "Kind", "Method", "NotHere", "Stopwatch", "methods_of"]

GROUPS: dict[str, Callable[[bool], list[Method]]] = {
    "classic": classic,
    "posteriors": posteriors,
    "posteriors-few": posteriors_few,
    "routes": routes,
    "searches": searches,
    "searches-few": searches_few,
    "mixtures": mixtures,
    "mixtures-few": mixtures_few,
    "steps": steps,
    "ablations": ablations,
    "ablations-few": ablations_few,
    "anchored": anchored,
    "peers": peers,
}
"""Name → the group's methods, small ones where asked for."""


def methods_of(groups: Sequence[str], smoke: bool = False) -> list[Method]:
    """The methods of some groups, in order."""
    return [method for name in groups if name in GROUPS for method in GROUPS[name](smoke)]
