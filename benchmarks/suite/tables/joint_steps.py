"""Previews that look once more at every weighting: joint steps from a merge, Newton steps, recentring."""

from __future__ import annotations

from benchmarks.suite.results import AVERAGING, DEFAULT, Result, Results
from benchmarks.suite.tables.cells import markdown, number, percent
from benchmarks.suite.tables.overview import in_floors

HEAD = ("setting", "method", "× floor", "hypervolume ratio", "rank correlation", "share of the grid", "by passes")


def joint_steps(results: Results) -> str:
    """All settings that have any; shares are as if all 66 weightings were made."""
    rows = [row(one, name) for one in results.values() if (found := names_of(one)) for name in found]
    return markdown(HEAD, rows)


def names_of(result: Result) -> list[str]:
    """The plain merges first."""
    found = [
        name
        for name in result.of_kind("preview")
        if result.factor(name, "study") == "steps" or result.factor(name, "recentred")
    ]
    found.sort(key=lambda name: (str(result.factor(name, "start")), result.factor(name, "percent") or 0, name))
    starts = [name for name in (AVERAGING, DEFAULT) if result.has(name, "loss_error")]
    return [*starts, *found] if found else []


def row(result: Result, name: str) -> list[str]:
    """One method."""
    return [
        result.name,
        name,
        in_floors(result, name, "loss_error"),
        number(result.mean(name, "hypervolume_ratio")),
        number(result.mean(name, "rank_correlation")),
        percent(result.mean(name, "share")),
        percent(result.mean(name, "share_of_passes")),
    ]
