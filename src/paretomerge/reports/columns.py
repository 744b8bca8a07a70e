"""Rows of mappings → columns with formatted cells: the one way every table here is laid out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from paretomerge.reports.data import COUNTED
from paretomerge.reports.digits import MISSING, decimals_for, show, show_interval
from paretomerge.reports.marks import INTERVAL, MARKS, clean, objective_name
from paretomerge.types import Ledger, Objective, Scores

STDERR_SUFFIXES = (" stderr", "_stderr")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Args:
        name: the heading.
        cells: formatted text, one per row.
        keys: what the rows are sorted by: the raw numbers, or the text.
        numeric: whether it is right-aligned.
    """

    name: str
    cells: tuple[str, ...]
    keys: tuple[float | str | None, ...]
    numeric: bool


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The columns of `rows`, in order of first appearance; a row may lack some.

    A column `"<name> stderr"` (or `"<name>_stderr"`) beside `<name>` is shown as the interval of `<name>`.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    partners = {name: name + end for name in names for end in STDERR_SUFFIXES if name + end in names}
    columns = []
    for name in names:
        if name in partners.values():
            continue
        raw = [row.get(name) for row in rows]
        errors = [row.get(partners[name]) for row in rows] if name in partners else []
        columns.append(_column(clean(name), raw, errors))
    return columns


def number_column(name: str, values: Iterable[float | None], errors: Iterable[float | None] = ()) -> Column:
    """A column of numbers, with ± `INTERVAL` standard errors when these are given."""
    keys = [None if value is None or not math.isfinite(value) else float(value) for value in values]
    halves = [None if error is None else INTERVAL * float(error) for error in errors] or [None] * len(keys)
    whole = all(key is None or float(key).is_integer() for key in keys) and not any(halves)
    known = [key for key in keys if key is not None]
    decimals = 0 if whole else decimals_for(known, [half for half in halves if half is not None])
    cells = [show_interval(key, half, decimals) for key, half in zip(keys, halves, strict=True)]
    return Column(name, tuple(cells), tuple(keys), numeric=True)


def ledger_columns(ledger: Mapping[str, Mapping[str, float | None]]) -> list[Column]:
    """Stage or method, then its costs; energy where any is known, as `≥` where it is that of a part of the seconds."""
    stages = tuple(clean(stage) for stage in ledger)
    columns = [Column("", stages, stages, numeric=False)]
    for currency in COUNTED:
        values = [costs.get(currency) for costs in ledger.values()]
        heading = currency.replace("_", " ")
        column = number_column(heading, values)
        if currency == "seconds":
            cells = tuple(MISSING if value is None else show(value, 1) for value in values)
            column = Column(heading, cells, column.keys, numeric=True)
        columns.append(column)
    joules = [costs.get("joules") for costs in ledger.values()]
    if any(value is not None for value in joules):
        shown = zip(joules, ledger.values(), strict=True)
        cells = tuple(MISSING if value is None else _energy(value, costs) for value, costs in shown)
        columns.append(Column("energy [kJ]", cells, tuple(joules), numeric=True))
    return columns


def _energy(joules: float, costs: Mapping[str, float | None]) -> str:
    """Kilojoules."""
    seconds = costs.get("seconds") or 0.0
    known = Ledger(seconds=seconds, joules=joules, metered_seconds=costs.get("metered_seconds"))
    return f"{'≥ ' if known.is_partly_metered else ''}{show(joules / 1000, 1)}"


def score_columns(scores: Scores, objectives: Sequence[Objective] | None = None) -> list[Column]:
    """Origin, weights and values of every row of `scores`, or of some of its objectives."""
    wanted = scores.objectives if objectives is None else tuple(objectives)
    names = [objective.name for objective in scores.objectives]
    origins = tuple(MARKS[word].label for word in scores.origin)
    columns = [Column("origin", origins, origins, numeric=False)]
    for t, task in enumerate(scores.tasks):
        columns.append(number_column(f"weight {clean(task)}", scores.weights[:, t].tolist()))
    for objective in wanted:
        j = names.index(objective.name)
        heading = objective_name(objective) + (f" [{clean(objective.unit)}]" if objective.unit else "")
        columns.append(number_column(heading, scores.values[:, j].tolist(), scores.stderr[:, j].tolist()))
    return columns


def _column(name: str, raw: Sequence[Any], errors: Sequence[Any]) -> Column:
    known = [value for value in raw if value is not None]
    if known and all(isinstance(value, Real) and not isinstance(value, bool) for value in known):
        return number_column(name, raw, errors)
    cells = tuple(_text(value) for value in raw)
    return Column(name, cells, cells, numeric=False)


def _text(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return clean(value)
