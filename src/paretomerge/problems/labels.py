"""From labels as they are written in data to the outputs of a head, the same for all tasks."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretomerge.errors import DataError, nearest
from paretomerge.problems.columns import columns_like_labels
from paretomerge.problems.label_columns import class_orders, first_places, label_values, spellings
from paretomerge.problems.tables import Table
from paretomerge.types import Split

GENERIC = "LABEL_"
"""How transformers names outputs that nobody named."""


@dataclass(frozen=True, eq=False)
class Labels:
    """What the labels of a column mean, the same in all tables.

    Args:
        column: where labels are.
        numbers: label → output of the head.
        names: names of outputs, for columns whose numbers stand for named classes.
    """

    column: str
    numbers: Mapping[Any, int]
    names: Sequence[str]

    def outputs(self, table: Table) -> list[int]:
        """The output of the head that every row's label means."""
        return [self.numbers[value] for value in label_values(table, self.column, self.names)]


def read_labels(
    tables: Mapping[str, Mapping[Split, Table]],
    column: str,
    head: Sequence[str] | None,
    labels: Sequence[str | int] | None,
) -> Labels:
    """Check the labels of all tasks and say what they mean.

    Warns of a task whose training rows have one label only, and where the numbers of named classes are used although
    the head has names.

    Args:
        tables: task → split → rows.
        column: where labels are.
        head: the name of every output, as the model's configuration has them; `None` where nothing says, and outputs
            are the named classes that all tables agree on, else as many as numbers need, else the sorted labels.
        labels: names to use instead, in the order of the outputs.

    Raises:
        DataError: no such column, labels that are missing or that no output stands for, or a column of texts.
    """
    given = None if labels is None else [str(label) for label in labels]
    every = [table for splits in tables.values() for table in splits.values()]
    known = given or (list(head) if head is not None else _agreed_classes(every, column))
    places = first_places(every, column, known or ())
    if not set(map(str, places)) <= set(known or ()):
        _refuse_texts(every, column, places)
    names = known or _outputs_of(places)
    for classes, table in class_orders(every, column, names).items():
        _warn_of_unknown_classes(classes, table, names)
    found = Labels(column, label_numbers(places, names if head is None else head, labels), names)
    for task, splits in tables.items():
        if "training" in splits:
            _warn_of_one_class(task, splits["training"], column, names)
    return found


def is_generic(head: Sequence[str]) -> bool:
    """Whether nobody named the outputs of a head."""
    return all(name == f"{GENERIC}{number}" for number, name in enumerate(head))


def _agreed_classes(tables: Sequence[Table], column: str) -> list[str] | None:
    """The names of classes, where numbers of every table stand for the same ones."""
    classes = {table.class_names(column) for table in tables}
    (agreed, *others) = classes
    return list(agreed) if agreed is not None and not others else None


def _outputs_of(places: Mapping[Any, str]) -> list[str]:
    indices = [_index(label) for label in places]
    if None in indices:
        return sorted(map(str, places))
    return [f"{GENERIC}{number}" for number in range(max(1, *(1 + index for index in indices if index is not None)))]


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
    spelled = spellings(given or head)
    found = {label: spelled.get(str(label)) or spelled.get(str(label).casefold()) for label in places}
    if None not in found.values():
        return {label: names[name] for label, name in found.items() if name is not None}
    indices = {label: _index(label) for label in places}
    if given is None and None not in indices.values():
        return {label: _within(index, head, places[label]) for label, index in indices.items() if index is not None}
    if given is None and not any(found.values()) and is_generic(head):
        return _sorted(places, len(head))
    label = next(label for label, name in found.items() if name is None)
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


def _refuse_texts(tables: Sequence[Table], column: str, places: Mapping[Any, str]) -> None:
    """A column of which most values are different and have several words is not that of the labels."""
    texts = [label for label in places if isinstance(label, str) and len(label.split()) > 2]
    rows = sum(map(len, tables))
    if rows < 8 or len(texts) <= rows / 2:
        return
    others = [name for name in columns_like_labels(tables[0]) if name != column]
    remedy = (
        f"{' and '.join(map(repr, others[:3]))} look{'s' if len(others) == 1 else ''} more like it"
        if others
        else f"the columns are {', '.join(map(repr, tables[0].names))}"
    )
    raise DataError(
        f"{places[texts[0]]}: {column!r} holds texts ({len(places)} different ones in {rows} rows, such as "
        f"{texts[0]!r:.40}), not labels: {remedy}. Name the right column by the setting 'label'"
    )


def _warn_of_unknown_classes(classes: Sequence[str], table: Table, names: Sequence[str]) -> None:
    """Numbers of classes with names are used as numbers of outputs with other names: nobody else would notice."""
    if not is_generic(names):
        warnings.warn(
            f"{table.source}: the head does not know the classes {_listed(classes)}, so their numbers count: "
            + ", ".join(f"{name!r} is {known!r}" for name, known in zip(classes, names, strict=False)),
            stacklevel=4,
        )


def _warn_of_one_class(task: str, table: Table, column: str, names: Sequence[str]) -> None:
    labels = set(label_values(table, column, names))
    if len(table) > 1 and len(labels) == 1:
        warnings.warn(
            f"task {task!r}: all {len(table)} training examples have the label {next(iter(labels))!r}: nothing can be "
            f"learnt from one class. Is {column!r} the right column, and was the file cut while sorted by label?",
            stacklevel=4,
        )


def _index(label: str | int) -> int | None:
    """The whole number that a label is or spells."""
    if isinstance(label, str):
        return int(label) if label.isascii() and label.removeprefix("-").isdigit() else None
    return label


def _listed(names: Iterable[Any]) -> str:
    every = [str(name) for name in names]
    return ", ".join(every[:12]) + (f" and {len(every) - 12} more" if len(every) > 12 else "")
