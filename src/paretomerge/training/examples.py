"""Drawing random examples of a task, each once per epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from paretomerge.errors import DataError
from paretomerge.types import Batch


class ExamplePool:
    """All examples of one task and split in memory, drawn without replacement until the epoch ends.

    Raises:
        DataError: inputs of different shapes (pad to one length), or no examples.
    """

    def __init__(self, batches: Sequence[Batch], seed: int) -> None:
        """Concatenate the batches."""
        if not batches:
            raise DataError("no training examples")
        self._inputs = _concatenate([inputs for inputs, _ in batches])
        self._targets = torch.cat([targets for _, targets in batches])
        self._generator = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.long)

    def __len__(self) -> int:
        """Number of examples."""
        return len(self._targets)

    def draw(self, count: int) -> Batch:
        """The next `count` examples in a random order; a new epoch starts when the old one is used up."""
        while len(self._order) < count:
            self._order = torch.cat([self._order, torch.randperm(len(self), generator=self._generator)])
        chosen, self._order = self._order[:count], self._order[count:]
        return _take(self._inputs, chosen), self._targets[chosen]


def _concatenate(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], Mapping):
        return {name: _concatenate([part[name] for part in parts]) for name in parts[0]}
    shapes = {tuple(part.shape[1:]) for part in parts}
    if len(shapes) > 1:
        raise DataError(f"training inputs have different shapes {sorted(shapes)}: pad all of them to one length")
    return torch.cat(list(parts))


def _take(inputs: Any, chosen: Tensor) -> Any:
    if isinstance(inputs, Mapping):
        return {name: value[chosen] for name, value in inputs.items()}
    return inputs[chosen]
