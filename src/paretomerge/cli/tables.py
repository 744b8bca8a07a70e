"""Tables only the command line shows."""

from __future__ import annotations

from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table

from paretomerge.types import Front, FrontPoint


def front_table(front: Front) -> Table:
    """Every point with its number, weights and values ± 1.96 standard deviations."""
    return points_table(front, "front (predicted)" if set(front.origin) == {"predicted"} else "front")


def points_table(points: Iterable[FrontPoint], title: str) -> Table:
    """Points of a front as rows."""
    rows = list(points)
    table = Table(title=escape(title), title_justify="left")
    table.add_column("point", justify="right")
    for task in rows[0].weights:
        table.add_column(f"weight {escape(task)}", justify="right")
    for objective in rows[0].values:
        table.add_column(escape(objective), justify="right")
    for row in rows:
        weights = [f"{weight:.3g}" for weight in row.weights.values()]
        values = [f"{value:.4g} ± {1.96 * row.stdev[name]:.2g}" for name, value in row.values.items()]
        table.add_row(str(row.id), *weights, *values)
    return table
