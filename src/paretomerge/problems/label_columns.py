"""Columns of labels as they are written: texts, whole numbers, or numbers that stand for named classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from paretomerge.errors import DataError
from paretomerge.problems.tables import Table


def label_values(table: Table, column: str, names: Sequence[str]) -> list[Any]:
    """The labels of a column; numbers of classes by their names where all of these are among `names`.

    Raises:
        DataError: no such column.
    """
    values = table.column(column, "label")
    classes = known_classes(table, column, names)
    if classes is None:
        return values
    return [classes[value] if isinstance(value, int) and 0 <= value < len(classes) else value for value in values]


def known_classes(table: Table, column: str, names: Sequence[str]) -> list[str] | None:
    """The names of a column's classes as `names` spells them; `None` where they are unknown, or there are none."""
    classes = table.class_names(column)
    if classes is None:
        return None
    spelled = spellings(names)
    found = [spelled.get(name) or spelled.get(name.casefold()) for name in classes]
    known = [name for name in found if name is not None]
    return known if len(set(known)) == len(classes) else None


def spellings(names: Sequence[str]) -> dict[str, str]:
    """Names by themselves, and without regard to upper and lower case where that is clear.

    >>> spellings(["Good", "BAD", "bad"])
    {'good': 'Good', 'Good': 'Good', 'BAD': 'BAD', 'bad': 'bad'}
    """
    folded = [name.casefold() for name in names]
    clear = {fold: name for fold, name in zip(folded, names, strict=True) if folded.count(fold) == 1}
    return clear | {name: name for name in names}


def first_places(tables: Iterable[Table], column: str, names: Sequence[str] = ()) -> dict[Any, str]:
    """Every label of a column, and where it was first found.

    Args:
        tables: where to look.
        column: where labels are.
        names: of the head's outputs, for columns whose numbers stand for named classes.

    Raises:
        DataError: no such column, a label that is missing, or something that is no label.
    """
    places: dict[Any, str] = {}
    for table in tables:
        values = label_values(table, column, names)
        _refuse_missing(table, column, values)
        for row in sorted(range(len(table)), key=table.numbers.__getitem__):
            if not isinstance(values[row], str | int) or values[row] not in places:
                places.setdefault(_checked(values[row], table, row), table.place(row))
    return places


def _refuse_missing(table: Table, column: str, values: Sequence[Any]) -> None:
    secret = -1 if table.class_names(column) is not None else None
    missing = [
        row
        for row, value in enumerate(values)
        if value in (None, "", secret) or (isinstance(value, float) and math.isnan(value))
    ]
    if missing:
        remedy = "a split whose labels are kept secret has no use here: leave it out, or give examples with labels"
        raise DataError(
            f"{table.place(table.first(missing))}: a label is missing, as it is in {len(missing)} of {len(table)} "
            f"rows: {'remove these rows' if len(missing) < len(table) else remedy}"
        )


def _checked(value: Any, table: Table, row: int) -> str | int:
    """A label as it is compared: text, or a whole number."""
    if isinstance(value, float) and not value.is_integer():
        raise DataError(
            f"{table.place(row)}: the label {value!r} is no class but a number: regressions need a problem of your "
            "own (problem: file.py:function, likelihood 'gaussian')"
        )
    if not isinstance(value, str | int | float):
        raise DataError(
            f"{table.place(row)}: {str(value)!r:.60} ({type(value).__name__}) is no label: give a text or a number"
        )
    return value if isinstance(value, str) else int(value)


def class_orders(tables: Iterable[Table], column: str, names: Sequence[str]) -> Mapping[tuple[str, ...], Table]:
    """The classes of columns of which only the numbers count, and the first table of each.

    Raises:
        DataError: the same classes in another order, which cannot both be the outputs of one head.
    """
    found: dict[tuple[str, ...], Table] = {}
    for table in tables:
        classes = table.class_names(column)
        if classes is None or known_classes(table, column, names) is not None:
            continue
        other = next((known for known in found if known != classes and set(known) == set(classes)), None)
        if other is not None:
            raise DataError(
                f"{table.source}: the numbers of {column!r} stand for {', '.join(classes)}, but in "
                f"{found[other].source} for {', '.join(other)}: name the outputs in their order by the setting "
                "'labels' or as label2id in the model's config.json, so that classes are told by their names"
            )
        found.setdefault(classes, table)
    return found
