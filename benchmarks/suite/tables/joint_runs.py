"""Previews that know joint runs: scores recalibrated by two of them, and models continued from one."""

from __future__ import annotations

from benchmarks.suite.results import AVERAGING, DEFAULT, JOINT_RUNS, Result, Results
from benchmarks.suite.tables.cells import markdown, number, percent
from benchmarks.suite.tables.overview import in_floors

HEAD = (
    "setting",
    "method",
    "× floor",
    "interior, × its floor",
    "with two joint runs, × floor",
    "interior, × its floor",
    "hypervolume ratio",
    "rank correlation",
    "share of the grid",
)


def joint_runs(results: Results) -> str:
    """All settings that have any."""
    rows = [row(one, name) for one in results.values() if (found := names_of(one)) for name in found]
    return markdown(HEAD, rows)


def names_of(result: Result) -> list[str]:
    """Merges that know none first."""
    found = [name for name in result.of_kind("preview") if result.factor(name, "study") == JOINT_RUNS]
    starts = [name for name in (AVERAGING, DEFAULT) if result.has(name, "loss_error")]
    return [*starts, *found] if found else []


def row(result: Result, name: str) -> list[str]:
    """One method."""
    return [
        result.name,
        name,
        in_floors(result, name, "loss_error"),
        in_floors(result, name, "loss_error_interior", floor="loss_error_interior"),
        in_floors(result, name, "recalibrated_error_2"),
        in_floors(result, name, "recalibrated_error_interior_2", floor="loss_error_interior"),
        number(result.mean(name, "hypervolume_ratio")),
        number(result.mean(name, "rank_correlation")),
        percent(result.mean(name, "share")),
    ]
