"""Writing a sum into the dtype it is kept in, rounded once.

PyTorch rounds float64 to float16 or bfloat16 by way of float32, so twice: a number just off the middle of two
neighbours becomes the middle first, and may then go to the wrong one. Rounding to odd in between (Boldo &
Melquiond, 2008, Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd) keeps the
second rounding correct: whatever float32 cannot hold exactly is truncated, and its last bit set.
"""

from __future__ import annotations

import torch
from torch import Tensor


def round_into(out: Tensor, values: Tensor) -> None:
    """`out[...] = values`, each to the nearest number of `out`'s dtype, ties to even."""
    if values.dtype == torch.float64 and out.dtype in (torch.float16, torch.bfloat16):
        values = round_to_odd(values)
    out.copy_(values)


def round_to_odd(values: Tensor) -> Tensor:
    """float64 to float32: exact numbers as they are, others truncated towards zero with the last bit set."""
    nearest = values.to(torch.float32)
    error = values - nearest  # exact: both are float64 here, and they agree in their leading bits
    bits = nearest.view(torch.int32)
    # where rounding went away from zero, one step back truncates (the bit pattern of a magnitude is monotone)
    beyond = (error * nearest) < 0
    truncated = bits - beyond.to(torch.int32)
    inexact = (error != 0) & torch.isfinite(nearest)
    # below the smallest float32 the sign is all that is left, and zero has no sign to step back from
    vanished = (nearest == 0) & inexact
    tiny = torch.where(values < 0, torch.iinfo(torch.int32).min + 1, 1).to(torch.int32)
    odd = torch.where(vanished, tiny, torch.where(inexact, truncated | 1, bits))
    return odd.view(torch.float32)
