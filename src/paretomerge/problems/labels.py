"""From labels as they are written in data to the outputs of a head, the same for all tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from paretomerge.errors import DataError, nearest
from paretomerge.problems.tables import Table

GENERIC = "LABEL_"
"""How transformers names outputs that nobody named."""


def first_places(tables: Iterable[Table], column: str) -> dict[Any, str]:
    """Every label of a column, and where it was first found.

    Raises:
        DataError: no such column, or something that is no label.
    """
    places: dict[Any, str] = {}
    for table in tables:
        values = table.column(column, "label")
        for row in sorted(range(len(table)), key=table.numbers.__getitem__):
            places.setdefault(_checked(values[row], table, row), table.place(row))
    return places


def label_numbers(
    places: Mapping[Any, str], head: Sequence[str], labels: Sequence[str | int] | None = None
) -> dict[Any, int]:
    """Which output of the head each label means.

    By the head's own names if all labels are among them, else as class indices if all are whole numbers, else in
    sorted order if the head's outputs have no names and are as many as the labels.

    Args:
        places: label → where it was found; of all tasks together.
        head: the name of every output, as the model's configuration has them.
        labels: names to use instead, in the order of the outputs.

    Raises:
        DataError: a label that is none of the head's, with the nearest one; more or fewer labels than outputs where
            only the sorted order could tell them apart.

    >>> label_numbers({"good": "a.csv, line 2", "bad": "b.csv, line 5"}, ["LABEL_0", "LABEL_1"])
    {'bad': 0, 'good': 1}
    >>> label_numbers({1: "a.csv, line 2", 0: "b.csv, line 5"}, ["bad", "good"])
    {1: 1, 0: 0}
    """
    given = None if labels is None else [str(label) for label in labels]
    if given is not None and (len(given) != len(head) or len(set(given)) != len(given)):
        raise DataError(
            f"labels: the head has {len(head)} outputs, so name {len(head)} different labels in their order; "
            f"got {', '.join(given)}"
        )
    names = {name: number for number, name in enumerate(given or head)}
    known = [str(label) in names for label in places]
    if all(known):
        return {label: names[str(label)] for label in places}
    indices = {label: _index(label) for label in places}
    if given is None and None not in indices.values():
        return {label: _within(index, head, places[label]) for label, index in indices.items() if index is not None}
    if given is None and not any(known) and _is_generic(head):
        return _sorted(places, len(head))
    label = next(label for label in places if str(label) not in names)
    raise DataError(
        f"{places[label]}: the label {label!r} is none of the head's{nearest(label, names)}: {_listed(names)}. "
        "Correct it, or name the labels in the order of the outputs by the setting 'labels'"
    )


def _sorted(labels: Iterable[Any], outputs: int) -> dict[Any, int]:
    found = sorted(labels, key=str)
    if len(found) != outputs:
        raise DataError(
            f"the data have {len(found)} labels ({_listed(found)}) and the head has {outputs} outputs without names: "
            "name the labels in the order of the outputs by the setting 'labels', or as label2id in the model's "
            "config.json"
        )
    return {label: number for number, label in enumerate(found)}


def _within(index: int, head: Sequence[str], place: str) -> int:
    if not 0 <= index < len(head):
        raise DataError(
            f"{place}: the label {index} is no output of the head, whose {len(head)} outputs are 0 to "
            f"{len(head) - 1}: correct it, give a base whose head has more outputs, or name the labels in the order "
            "of the outputs by the setting 'labels'"
        )
    return index


def _checked(value: Any, table: Table, row: int) -> str | int:
    """A label as it is compared: text, or a whole number."""
    if value is None or value == "":
        raise DataError(f"{table.place(row)}: a label is missing: remove the rows without one")
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


def _index(label: str | int) -> int | None:
    """The whole number that a label is or spells."""
    if isinstance(label, str):
        return int(label) if label.isascii() and label.removeprefix("-").isdigit() else None
    return label


def _is_generic(head: Sequence[str]) -> bool:
    return all(name == f"{GENERIC}{number}" for number, name in enumerate(head))


def _listed(names: Iterable[Any]) -> str:
    every = [str(name) for name in names]
    return ", ".join(every[:12]) + (f" and {len(every) - 12} more" if len(every) > 12 else "")
