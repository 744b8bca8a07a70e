"""Reading a given number of examples from batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

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
        yield (inputs, targets) if size == len(targets) else (_cut(inputs, size), targets[:size])
        if left is not None:
            left -= size
            if left == 0:
                return
    if not seen:
        raise DataError("no examples to measure curvature on: the split is empty, or the limit is not positive")


def _cut(inputs: Any, size: int) -> Any:
    if isinstance(inputs, Mapping):
        return {name: value[:size] for name, value in inputs.items()}
    return inputs[:size]
