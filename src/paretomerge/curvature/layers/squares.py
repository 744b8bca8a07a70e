"""Sums over examples of squared gradients, without ever holding the gradients of all examples.

Shapes: `B` examples, `S` positions that share the weight, `O` outputs, `I` inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCRATCH_ELEMENTS = 2**20
"""Per-example gradients held at once, in numbers, where several fit."""

SINGLE_ELEMENTS = 2**16
"""On a processor a larger gradient is squared while it is in the cache, one example after the other."""


def sum_of_squares(outputs: Tensor, inputs: Tensor) -> Tensor:
    """`Σ_b (Σ_s g_bs a_bsᵀ)²  [O, I]` for `g [B, S, O]` and `a [B, S, I]`, elementwise squares.

    Memory: one gradient `O × I` on a processor, `max(O × I, SCRATCH_ELEMENTS)` elsewhere and for small layers.
    """
    examples, positions, rows = outputs.shape
    columns = inputs.shape[-1]
    if positions == 1:  # (g aᵀ)² = g² (a²)ᵀ
        return outputs[:, 0].square().T @ inputs[:, 0].square()
    total = outputs.new_zeros(rows, columns)
    if rows * columns >= SINGLE_ELEMENTS and outputs.device.type == "cpu":
        scratch = torch.empty_like(total)
        for b in range(examples):
            torch.mm(outputs[b].T, inputs[b], out=scratch)
            total.addcmul_(scratch, scratch)
        return total
    step = max(1, SCRATCH_ELEMENTS // (rows * columns))
    for start in range(0, examples, step):
        part = slice(start, start + step)
        total += torch.bmm(outputs[part].mT, inputs[part]).square_().sum(0)
    return total


def products_along(outputs: Tensor, inputs: Tensor, directions: Tensor) -> Tensor:
    """`⟨V_k, Σ_s g_bs a_bsᵀ⟩  [k, B]` for `g [B, S, O]`, `a [B, S, I]` and directions `V [k, O, I]`.

    Memory: a few gradients `O × I`, `SCRATCH_ELEMENTS` where they are small.
    """
    examples, _, rows = outputs.shape
    columns = inputs.shape[-1]
    flat = directions.reshape(len(directions), rows * columns).T
    found = outputs.new_empty(examples, len(directions))
    step = max(1, 4 * SCRATCH_ELEMENTS // max(1, rows * columns))
    for start in range(0, examples, step):
        part = slice(start, start + step)
        gradients = torch.bmm(outputs[part].mT, inputs[part])
        found[part] = gradients.reshape(len(gradients), rows * columns) @ flat
    return found.T


def widened(tensor: Tensor) -> Tensor:
    """Half precision becomes float32: squares of gradients underflow in float16 and lose their sums in bfloat16."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
