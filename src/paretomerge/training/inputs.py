"""Joining inputs and targets of several batches: tensors, or mappings of tensors as tokenizers give them.

Token mappings (those with an `attention_mask`) may be padded to different lengths: they are padded to the longest when
joined, and cut to the longest text that is left when a few examples are drawn, so short texts cost little. Targets of
every token go with them. What a decoder reads (`decoder_…`) has a length of its own, and is never cut.

Shapes: `B` examples, `L` tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from paretomerge.curvature.likelihoods import UNLABELLED
from paretomerge.errors import DataError

MASK = "attention_mask"
DECODER = "decoder_"


def join_inputs(parts: Sequence[Any]) -> Any:
    """Concatenate along the examples.

    Raises:
        DataError: tensors of different shapes that no attention mask says how to pad.
    """
    if isinstance(parts[0], Mapping):
        if MASK in parts[0]:
            width = max(part[MASK].shape[1] for part in parts)
            long = {name: max(_length(part[name]) for part in parts) for name in parts[0] if name.startswith(DECODER)}
            parts = [{name: _padded(value, long.get(name, width)) for name, value in part.items()} for part in parts]
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
        name: value[:, :width] if _length(value) == full and not name.startswith(DECODER) else value
        for name, value in taken.items()
    }


def join_targets(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate along the examples; targets of every token `[B, L]` are padded to the longest, by -100.

    Raises:
        DataError: targets of different shapes that are no tokens.
    """
    if parts[0].ndim == 2 and not parts[0].is_floating_point():
        width = max(_length(part) for part in parts)
        parts = [_padded(part, width, UNLABELLED) for part in parts]
    shapes = {tuple(part.shape[1:]) for part in parts}
    if len(shapes) > 1:
        raise DataError(f"training targets have different shapes {sorted(shapes)}: give all tasks one kind of target")
    return torch.cat(list(parts))


def take_targets(targets: Tensor, chosen: Tensor, taken: Any) -> Tensor:
    """Some of the targets; those of every token are cut as the inputs of the same examples were."""
    found = targets[chosen]
    if found.ndim < 2 or found.is_floating_point() or not isinstance(taken, Mapping) or MASK not in taken:
        return found
    return found if any(name.startswith(DECODER) for name in taken) else found[:, : _length(taken[MASK])]


def _length(value: Tensor) -> int:
    return value.shape[1] if value.ndim > 1 else 0


def _padded(value: Tensor, width: int, filler: int = 0) -> Tensor:
    missing = width - value.shape[1] if value.ndim == 2 else 0
    return functional.pad(value, (0, missing), value=filler) if missing > 0 else value
