"""Tensors of which every process holds a part (DTensor of PyTorch), beside plain ones.

A plain tensor is a tensor of one part. Parts are those of `torch.chunk` along a dimension, as `fully_shard` cuts
parameters: with `n` rows and `P` processes each has `⌈n/P⌉` rows, the last ones fewer or none.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor

from paretomerge.errors import AlignmentError


def is_sharded(tensor: Tensor) -> bool:
    """Whether other processes hold the rest of it."""
    # Where nobody has imported it, there are none; importing it takes half a second.
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def part_of(tensor: Tensor, target: Tensor) -> Tensor:
    """The part of a whole `tensor` that belongs into `target` in this process, a view; all of it for a plain one.

    Raises:
        AlignmentError: `target` is divided otherwise than into chunks.
    """
    if not is_sharded(target):
        return tensor
    sharded: Any = target
    for number, placement in enumerate(sharded.placements):
        if placement.is_replicate():
            continue
        if not placement.is_shard():
            raise AlignmentError(f"parameters placed as {placement!r} cannot be overwritten: use fully_shard (FSDP2)")
        chunks = tensor.chunk(sharded.device_mesh.size(number), placement.dim)
        own = sharded.device_mesh.get_local_rank(number)
        tensor = chunks[own] if own < len(chunks) else tensor.narrow(placement.dim, 0, 0)
    return tensor


def own_part(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor, sharing its memory."""
    return tensor.detach().to_local() if is_sharded(tensor) else tensor.detach()  # type: ignore[attr-defined]


def fill(target: Tensor, source: Tensor) -> None:
    """Overwrite `target`, plain or sharded, by the whole tensor `source`, or by one that is divided as it is."""
    with torch.no_grad():
        own_part(target).copy_(own_part(source) if is_sharded(source) else part_of(source, target))


def shard_like(source: Tensor, target: Tensor) -> Tensor:
    """A copy of a whole tensor on the device of `target`, divided as `target` is; no process waits for another."""
    if not is_sharded(target):
        return source.to(target.device, copy=True)
    from torch.distributed.tensor import DTensor

    sharded: Any = target
    part = part_of(source, target).to(own_part(target).device, copy=True)
    return DTensor.from_local(
        part,
        sharded.device_mesh,
        sharded.placements,
        run_check=False,
        shape=target.shape,
        stride=torch.empty(target.shape, device="meta").stride(),
    )


def whole(tensor: Tensor) -> Tensor:
    """The whole tensor; all processes that hold a part must ask for it."""
    return tensor.detach().full_tensor() if is_sharded(tensor) else tensor.detach()  # type: ignore[attr-defined]
