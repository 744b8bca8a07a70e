"""Drawing random examples of a task, each once per epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from paretomerge.errors import DataError
from paretomerge.training.inputs import join_inputs, join_targets, take_inputs, take_targets
from paretomerge.types import Batch


class ExamplePool:
    """All examples of one task and split in memory, drawn without replacement until the epoch ends.

    Raises:
        DataError: inputs of different shapes (pad to one length), or no examples.
    """

    def __init__(self, batches: Sequence[Batch], seed: int) -> None:
        """Concatenate the batches."""
        if not sum(len(targets) for _, targets in batches):
            raise DataError("no training examples: check the data path, filters and split sizes")
        self._inputs = join_inputs([inputs for inputs, _ in batches])
        self._targets = join_targets([targets for _, targets in batches])
        self._generator = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.long)

    def __len__(self) -> int:
        """Number of examples."""
        return len(self._targets)

    @property
    def examples(self) -> Batch:
        """All examples, in their order."""
        return self._inputs, self._targets

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on in the same order."""
        return {"order": self._order.clone(), "generator": self._generator.get_state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self._order = state["order"]
        self._generator.set_state(state["generator"])

    def draw(self, count: int) -> Batch:
        """The next `count` examples in a random order; a new epoch starts when the old one is used up."""
        while len(self._order) < count:
            self._order = torch.cat([self._order, torch.randperm(len(self), generator=self._generator)])
        chosen, self._order = self._order[:count], self._order[count:]
        taken = take_inputs(self._inputs, chosen)
        return taken, take_targets(self._targets, chosen, taken)
