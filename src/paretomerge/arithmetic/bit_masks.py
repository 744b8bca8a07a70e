"""Masks of elements, one bit each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class BitMask:
    """Which elements of a tensor are kept, in order of memory, eight to a byte."""

    packed: np.ndarray

    @classmethod
    def of(cls, kept: np.ndarray) -> BitMask:
        """From one number per element, zero where it is dropped."""
        return cls(np.packbits(kept.reshape(-1)))

    def write(self, start: int, out: Tensor) -> Tensor:
        """Write 1 or 0 for the elements of a tile that begins at `start`."""
        first, skipped = divmod(start, 8)
        stop = skipped + len(out)
        bits = np.unpackbits(self.packed[first : first + -(-stop // 8)])[skipped:stop]
        return out.copy_(torch.from_numpy(bits))
