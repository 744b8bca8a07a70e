"""Task arithmetic: add scaled task vectors to the base model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from paretomerge.errors import WeightsError
from paretomerge.merging.base import Domain, Inputs, Outputs
from paretomerge.merging.linear import combine_block, floating_blocks, read_tensors


@dataclass(frozen=True)
class TaskArithmetic:
    """`θ = θ_0 + scale · Σ c_t (θ_t - θ_0)`; coefficients of any sign.

    Ilharco et al., 2023, Editing models with task arithmetic.

    Args:
        scale: one factor on all coefficients.
        normalize: divide the coefficients by their sum first.

    Raises:
        WeightsError: no base model was given, or coefficients to be normalised that sum to zero.
    """

    scale: float = 1.0
    normalize: bool = False

    domain: ClassVar[Domain] = "coefficients"

    def prepare(self, inputs: Inputs) -> Inputs:
        """The base has to be there."""
        _ = inputs.origin
        return inputs

    def blocks(self, state: Inputs) -> Sequence[str]:
        """Every floating-point tensor."""
        return floating_blocks(state)

    def merge_block(self, state: Inputs, values: Tensor, block: str, out: Outputs) -> Iterator[str]:
        """`(1 - Σ c) θ_0 + Σ c_t θ_t`: the same sum as of task vectors, in one pass and exact at the corners."""
        coefficients = self.scale * (normalized(values) if self.normalize else values)
        rest = 1 - coefficients.sum(-1, keepdim=True)
        tensors = [state.origin[block], *read_tensors(state, block)]
        combine_block(state, torch.cat([rest, coefficients], dim=1), tensors, out[block])
        yield block


def normalized(values: Tensor) -> Tensor:
    """Coefficients `[K, T]` divided by their sums.

    Raises:
        WeightsError: a sum of zero.
    """
    totals = values.sum(-1, keepdim=True)
    if (totals.abs() < 1e-12).any():
        raise WeightsError("coefficients that sum to zero cannot be normalised: set normalize to false")
    return values / totals
