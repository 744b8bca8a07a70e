"""Reading a given number of examples from batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from paretomerge.curvature.per_example import map_inputs
from paretomerge.errors import DataError
from paretomerge.types import Batch


def take_examples(batches: Iterable[Batch], limit: int | None = None) -> Iterator[Batch]:
    """The first `limit` examples (all when `None`), batch by batch; the last batch is cut.

    Raises:
        DataError: there is no example at all.
    """
    left = limit
    seen = 0
    for inputs, targets in batches:
        size = len(targets) if left is None else min(len(targets), left)
        if size <= 0:
            continue
        seen += size
        yield (inputs, targets) if size == len(targets) else (_rows(inputs, slice(size)), targets[:size])
        if left is not None:
            left -= size
            if left == 0:
                return
    if not seen:
        raise DataError("no examples to measure curvature on: the split is empty, or the limit is not positive")


@dataclass(frozen=True)
class Counted:
    """Batches that say which of them is being read, as often as they are read: `gradient of movie: batch 3 of 8`.

    Args:
        batches: the batches.
        limit: examples that will be used, all when `None`.
        progress: called with messages.
        what: what is done with them.
    """

    batches: Sequence[Batch]
    limit: int | None
    progress: Callable[[str], None]
    what: str

    def __iter__(self) -> Iterator[Batch]:
        """Batch by batch."""
        total = self._total()
        for number, batch in enumerate(self.batches, start=1):
            self.progress(f"{self.what}: batch {number} of {max(total, number)}")
            yield batch

    def _total(self) -> int:
        if self.limit is None:
            return len(self.batches)
        examples = 0
        for number, (_, targets) in enumerate(self.batches, start=1):
            examples += len(targets)
            if examples >= self.limit:
                return number
        return len(self.batches)


def split_batch(batch: Batch, size: int) -> Iterator[Batch]:
    """The examples of a batch in parts of at most `size`, in their order."""
    inputs, targets = batch
    if len(targets) <= size:
        yield batch
        return
    for start in range(0, len(targets), size):
        yield _rows(inputs, slice(start, start + size)), targets[start : start + size]


def _rows(inputs: Any, rows: slice) -> Any:
    return map_inputs(inputs, lambda value: value[rows])
