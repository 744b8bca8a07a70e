"""The batches of every task and split of a problem, made from its tables when they are first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from paretomerge.errors import DataError
from paretomerge.problems.batches import Encoded, make_batches
from paretomerge.problems.tables import Table
from paretomerge.types import Batch, Split


class Encode(Protocol):
    """Rows of examples to token numbers and targets."""

    def __call__(self, table: Table, source: str) -> Encoded:
        """Encode a table; `source` names it and its split in messages."""
        ...


@dataclass(frozen=True, eq=False)
class SplitBatches:
    """`(task, split) → batches`, made once each.

    Args:
        tables: task → split → rows.
        encode: rows → token numbers.
        padding: the token that fills up.
        batch_size: texts per batch.
    """

    tables: Mapping[str, Mapping[Split, Table]]
    encode: Encode
    padding: int
    batch_size: int
    made: dict[tuple[str, Split], list[Batch]] = field(default_factory=dict, repr=False)

    def __call__(self, task: str, split: Split) -> list[Batch]:
        """The batches of a task and split: training in a random order, the others by length.

        Raises:
            DataError: the task's data have no such split, or rows that cannot be encoded.
        """
        if (task, split) not in self.made:
            table = self.table(task, split)
            encoded = self.encode(table, f"{table.source} ({split})")
            self.made[task, split] = make_batches(encoded, self.batch_size, self.padding, by_length=by_length(split))
        return self.made[task, split]

    def table(self, task: str, split: Split) -> Table:
        """The rows of a task and split.

        Raises:
            DataError: the task's data have no such split.
        """
        return table_of_split(self.tables, task, split)


def table_of_split(tables: Mapping[str, Mapping[Split, Table]], task: str, split: Split) -> Table:
    """The rows of a task and split.

    Raises:
        DataError: the task's data have no such split.
    """
    if split not in tables[task]:
        raise DataError(
            f"task {task!r} has no {split} examples: its data have {' and '.join(tables[task])} only; add a file "
            f"{split}.jsonl or the like, or give one file that is shared out"
        )
    return tables[task][split]


def by_length(split: Split) -> bool:
    """Whether texts of like length go together: not in training, whose batches are random samples."""
    return split != "training"


def require_sizes(*, batch_size: int, max_length: int | None = None) -> None:
    """Refuse sizes that leave nothing.

    Raises:
        DataError: with the name of the setting.
    """
    if max_length is not None and max_length < 2:
        raise DataError(f"max_length: must be at least 2 tokens, got {max_length}")
    if batch_size < 1:
        raise DataError(f"batch_size: must be at least 1, got {batch_size}")
