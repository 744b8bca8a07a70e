"""Tables only the command line shows."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from paretomerge.choices import Choice
from paretomerge.fronts.search import thinned
from paretomerge.fronts.uncertainty import FrontUncertainty
from paretomerge.reports import compact_table
from paretomerge.types import Front, FrontPoint, to_minimised

_MOST_COORDINATES = 12
MOST_POINTS = 20


def front_table(front: Front, uncertainty: FrontUncertainty | None = None) -> Table:
    """Points with their number, weights, values with intervals, and how probable they are on the front.

    Of a front with many points some that stand for all.
    """
    rows = thinned(to_minimised(front.values, front.objectives), MOST_POINTS)
    title = "front (predicted" if set(front.origin) == {"predicted"} else "front"
    if len(rows) < len(front):
        title += f"{', ' if '(' in title else ' ('}{len(rows)} of {len(front)} points"
    title += ")" if "(" in title else ""
    points = [front[row] for row in rows]
    if uncertainty is None:
        return points_table(points, title)
    columns = _weight_columns(points)
    # Side by side where they fit into 80 columns, otherwise intervals go below.
    wide = 14 + 8 * (len(columns) - 1) + 22 * len(front.objectives) > 80
    between = "\n" if wide else " "
    for column, objective in enumerate(front.objectives):
        ends = zip(uncertainty.lower[rows, column], uncertainty.upper[rows, column], strict=True)
        shown = [
            f"{_digits(value)}{between}[{_digits(low, 2)}, {_digits(high, 2)}]"
            for value, (low, high) in zip(front.values[rows, column], ends, strict=True)
        ]
        columns.append((objective.name, shown))
    columns.append(("on\nfront", [f"{100 * share:.0f} %" for share in uncertainty.nondominated[rows]]))
    return compact_table(columns, f"{title}, {100 * uncertainty.level:g} % intervals")


def points_table(points: Iterable[FrontPoint], title: str) -> Table:
    """Points of a front as rows; values ± 1.96 standard deviations."""
    rows = list(points)
    names = list(rows[0].values)
    # 80 columns hold three tasks side by side; with more, the ± goes below its value.
    between = " ±" if len(rows[0].weights) + len(names) <= 6 else "\n±"
    columns = _weight_columns(rows)
    columns += [
        (name, [f"{_digits(row.values[name])}{between}{1.96 * row.stdev[name]:.2g}" for row in rows]) for name in names
    ]
    return compact_table(columns, f"{title}, values ± 95 %")


def choice_table(choice: Choice) -> Table:
    """The chosen point, an objective per row: its value, the interval, and what it gives up."""
    point, names = choice.point, list(choice.gives_up)
    columns = [
        ("objective", names),
        (point.origin, [_digits(point.values[name]) for name in names]),
        (f"{100 * choice.level:g} % interval", [_interval(*choice.interval[name]) for name in names]),
        ("gives up", [_digits(choice.gives_up[name], 2) for name in names]),
    ]
    return compact_table(columns, "chosen", left=1)


def alternatives_table(choice: Choice) -> Table:
    """The nearest other points, and what each would change against the chosen one."""
    rows = [alternative.point for alternative in choice.alternatives]
    columns = _weight_columns(rows)
    for name in choice.gives_up:
        changes = []
        for alternative in choice.alternatives:
            if name in alternative.gains:
                changes.append(f"{_digits(alternative.gains[name], 2)} better")
            elif name in alternative.loses:
                changes.append(f"{_digits(alternative.loses[name], 2)} worse")
            else:
                changes.append("the same")
        columns.append((name, changes))
    return compact_table(columns, f"nearest alternatives, compared with point {choice.point.id}")


def _interval(low: float, high: float) -> str:
    return f"[{_digits(low)}, {_digits(high)}]"


def of_weights(point: FrontPoint) -> bool:
    """Whether a point is one of task weights: they sum to one, scaling coefficients need not."""
    return abs(sum(point.weights.values()) - 1) < 1e-6


def _weight_columns(rows: list[FrontPoint]) -> list[tuple[str, list[str]]]:
    """The number of each point, and its coordinates; too many of them would hide the scores."""
    names = list(rows[0].weights)
    columns = [("point", [str(row.id) for row in rows])]
    word = "weight" if all(map(of_weights, rows)) else "coeff."
    if len(names) <= _MOST_COORDINATES:
        columns += [(f"{word}\n{name}", [f"{row.weights[name]:.3f}" for row in rows]) for name in names]
    return columns


def _digits(value: float, count: int = 4) -> str:
    """Significant digits, trailing zeros kept so that columns line up."""
    return f"{value:#.{count}g}".rstrip(".")
