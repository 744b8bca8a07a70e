"""Linear combinations of one tensor over tasks: what averaging, sums and task arithmetic share."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from paretomerge.arithmetic import sweep, weighted_sum
from paretomerge.merging.base import Inputs


def floating_blocks(inputs: Inputs) -> Sequence[str]:
    """Names of the tensors that are merged: the floating-point tensors every posterior covers."""
    return [name for name, spec in inputs.posteriors[0].specs.items() if spec.is_mergeable]


def read_tensors(inputs: Inputs, block: str) -> list[Tensor]:
    """`θ_t` of one block for every task, in their own dtypes."""
    return [mean[block] for mean in inputs.means]


def combine_block(inputs: Inputs, values: Tensor, tensors: Sequence[Tensor], out: Tensor) -> None:
    """`out[k] = Σ_s values[k, s] · tensors[s]` for all weightings `values [K, S]`, rounded once: `[K, *shape]`."""
    sweep(tensors, out, lambda tiles, target, start: weighted_sum(values, tiles, target), inputs.sum_dtype(tensors))
