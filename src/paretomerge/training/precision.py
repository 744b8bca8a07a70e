"""Mixed precision: bfloat16, or float16 with a scaled loss whose overflows are skipped.

Micikevicius, Narang, Alben, Diamos, Elsen, Garcia, Ginsburg, Houston, Kuchaiev, Venkatesh, Wu, 2018, Mixed Precision
Training (arXiv 1710.03740).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from paretomerge.errors import TrainingError

MOST_SKIPPED = 40
"""Steps in a row that may overflow; each halves the scale of the loss."""


class Precision:
    """How forward passes, backward passes and steps are taken in a precision; in float32 as without it."""

    def __init__(self, name: str, device: torch.device) -> None:
        """Args: `name` as in a recipe."""
        self._dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(name)
        self._device = device.type
        self._scaler = torch.amp.GradScaler(self._device) if name == "float16" else None
        if self._scaler is not None:
            self._scaler.scale(torch.zeros((), device=device))  # else a process without examples would have no scale
        self._skipped_in_a_row = 0
        self.skipped = 0

    def autocast(self) -> AbstractContextManager[Any]:
        """For the forward pass."""
        dtype = torch.bfloat16 if self._dtype is None else self._dtype
        return torch.autocast(self._device, dtype, enabled=self._dtype is not None)

    def backward(self, loss: Tensor) -> None:
        """The backward pass, of the scaled loss for float16."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def unscale(self, optimizer: Optimizer) -> None:
        """Gradients as they are, before they are clipped."""
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer) -> None:
        """The optimizer's step; for float16 none where a gradient overflowed.

        Raises:
            TrainingError: many steps in a row overflowed.
        """
        if self._scaler is None:
            optimizer.step()
            return
        before = self._scaler.get_scale()
        self._scaler.step(optimizer)
        self._scaler.update()
        overflowed = self._scaler.get_scale() < before
        self.skipped += overflowed
        self._skipped_in_a_row = self._skipped_in_a_row + 1 if overflowed else 0
        if self._skipped_in_a_row >= MOST_SKIPPED:
            raise TrainingError(
                f"the gradients of {MOST_SKIPPED} steps in a row overflowed in float16: set precision to bfloat16, "
                "or lower the learning rate"
            )

    def state(self) -> dict[str, Any]:
        """What `restore` needs."""
        scaler = {} if self._scaler is None else self._scaler.state_dict()
        return {"scaler": scaler, "skipped": self.skipped, "in_a_row": self._skipped_in_a_row}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.skipped, self._skipped_in_a_row = state["skipped"], state["in_a_row"]
        if self._scaler is not None:
            self._scaler.load_state_dict(dict(state["scaler"]))
