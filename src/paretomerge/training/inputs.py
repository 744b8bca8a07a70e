"""Joining model inputs of several batches: tensors, or mappings of tensors as tokenizers give them.

Token mappings (those with an `attention_mask`) may be padded to different lengths: they are padded to the longest when
joined, and cut to the longest text that is left when a few examples are drawn, so short texts cost little.

Shapes: `B` examples, `L` tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from paretomerge.errors import DataError

MASK = "attention_mask"


def join_inputs(parts: Sequence[Any]) -> Any:
    """Concatenate along the examples.

    Raises:
        DataError: tensors of different shapes that no attention mask says how to pad.
    """
    if isinstance(parts[0], Mapping):
        if MASK in parts[0]:
            width = max(part[MASK].shape[1] for part in parts)
            parts = [{name: _padded(value, width) for name, value in part.items()} for part in parts]
        return {name: join_inputs([part[name] for part in parts]) for name in parts[0]}
    shapes = {tuple(part.shape[1:]) for part in parts}
    if len(shapes) > 1:
        raise DataError(f"training inputs have different shapes {sorted(shapes)}: pad all of them to one length")
    return torch.cat(list(parts))


def take_inputs(inputs: Any, chosen: Tensor) -> Any:
    """Some of the examples; token mappings are cut to the longest of them."""
    if not isinstance(inputs, Mapping):
        return inputs[chosen]
    taken = {name: value[chosen] for name, value in inputs.items()}
    if MASK not in taken:
        return taken
    used = taken[MASK].any(dim=0).nonzero()
    width = int(used.max()) + 1 if len(used) else 1
    full = taken[MASK].shape[1]
    return {
        name: value[:, :width] if value.ndim > 1 and value.shape[1] == full else value for name, value in taken.items()
    }


def _padded(value: Tensor, width: int) -> Tensor:
    missing = width - value.shape[1] if value.ndim == 2 else 0
    return functional.pad(value, (0, missing)) if missing > 0 else value
