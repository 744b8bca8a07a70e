"""The plain weighted sum of finetunes, without a base and without normalisation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from paretomerge.merging.base import Domain, Inputs, Outputs
from paretomerge.merging.linear import combine_block, floating_blocks, read_tensors


@dataclass(frozen=True)
class WeightedSum:
    """`θ = Σ c_t θ_t`, coefficients of any sign and any sum; what other tools call a linear merge, not normalised."""

    domain: ClassVar[Domain] = "coefficients"
    reads_base: ClassVar[bool] = False

    def prepare(self, inputs: Inputs) -> Inputs:
        """Nothing to prepare."""
        return inputs

    def blocks(self, state: Inputs) -> Sequence[str]:
        """Every floating-point tensor."""
        return floating_blocks(state)

    def merge_block(self, state: Inputs, values: Tensor, block: str, out: Outputs) -> Iterator[str]:
        """`values [K, T] @ tensors [T, n]`."""
        combine_block(state, values, read_tensors(state, block), out[block])
        yield block
