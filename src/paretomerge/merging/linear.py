"""Linear combinations of one tensor over tasks: what averaging and task arithmetic share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from paretomerge.merging.base import Inputs
from paretomerge.types import Params, compute_dtype


def floating_blocks(inputs: Inputs) -> Sequence[str]:
    """Names of the tensors that are merged: the floating-point tensors every posterior covers."""
    return [name for name, spec in inputs.posteriors[0].specs.items() if spec.is_mergeable]


def combine_block(inputs: Inputs, values: Tensor, block: str, origin: Params | None = None) -> Tensor:
    """`origin + Σ_t values_t (θ_t - origin)` for one tensor and all weightings: `[K, *shape]`.

    Without an origin it is the plain sum `Σ_t values_t θ_t`.
    """
    tensors = [posterior.mean[block] for posterior in inputs.posteriors]
    dtype = compute_dtype(tensor.dtype for tensor in tensors)
    stacked = torch.stack([tensor.reshape(-1).to(dtype) for tensor in tensors])
    values = values.to(dtype)
    if origin is None:
        flat = values @ stacked
    else:
        start = origin[block].reshape(-1).to(dtype)
        flat = torch.addmm(start.expand(len(values), -1), values, stacked - start)
    return flat.reshape(len(values), *tensors[0].shape)
