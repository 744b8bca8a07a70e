"""Tables only the command line shows."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from paretomerge.reports import compact_table
from paretomerge.types import Front, FrontPoint


def front_table(front: Front) -> Table:
    """Every point with its number, weights and values."""
    return points_table(front, "front (predicted)" if set(front.origin) == {"predicted"} else "front")


def points_table(points: Iterable[FrontPoint], title: str) -> Table:
    """Points of a front as rows; values ± 1.96 standard deviations."""
    rows = list(points)
    tasks, names = list(rows[0].weights), list(rows[0].values)
    # 80 columns hold three tasks side by side; with more, the ± goes below its value.
    between = " ±" if len(tasks) + len(names) <= 6 else "\n±"
    columns = [("point", [str(row.id) for row in rows])]
    columns += [(f"weight\n{task}", [f"{row.weights[task]:.3f}" for row in rows]) for task in tasks]
    columns += [
        (name, [f"{_digits(row.values[name])}{between}{1.96 * row.stdev[name]:.2g}" for row in rows]) for name in names
    ]
    return compact_table(columns, f"{title}, values ± 95 %")


def _digits(value: float) -> str:
    """Four significant digits, trailing zeros kept so that columns line up."""
    return f"{value:#.4g}".rstrip(".")
