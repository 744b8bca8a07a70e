"""Weighted averaging of parameters: `Σ α_t θ_t`, the baseline of every comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from paretomerge.errors import WeightsError
from paretomerge.merging.base import Domain, Inputs, Outputs
from paretomerge.merging.linear import combine_block, floating_blocks, read_tensors


@dataclass(frozen=True)
class Averaging:
    """`θ = Σ α_t θ_t`, weights on the simplex; posteriors are read for their means only.

    Wortsman et al., 2022, Model soups; Izmailov et al., 2018, Averaging weights leads to wider optima.
    """

    domain: ClassVar[Domain] = "weights"
    reads_base: ClassVar[bool] = False

    def prepare(self, inputs: Inputs) -> Inputs:
        """Nothing to prepare."""
        return inputs

    def blocks(self, state: Inputs) -> Sequence[str]:
        """Every floating-point tensor."""
        return floating_blocks(state)

    def merge_block(self, state: Inputs, values: Tensor, block: str, out: Outputs) -> Iterator[str]:
        """`values [K, T] @ tensors [T, n]`, divided by the sum of the weights."""
        totals = values.sum(-1, keepdim=True)
        if not (totals > 0).all():
            raise WeightsError("every weight is zero: averaging needs a positive weight on at least one task")
        combine_block(state, values / totals, read_tensors(state, block), out[block])
        yield block
