"""A place in the order of magnitudes, and what of a tile lies above it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Boundary:
    """A place in the order of magnitudes of a tensor.

    Above it are the elements larger than `value`, and of those equal to it the ones in front of `index` in memory
    (`front`), or else those from `index` on.
    """

    value: float
    index: int = 0
    front: bool = True

    def keep_above(self, delta: Tensor, start: int, out: Tensor) -> None:
        """Write what lies above into `out`, and zero elsewhere; `out` may be `delta`.

        NaN lies above every boundary. The first element of `delta` is element `start` of its tensor.
        """
        split = min(max(self.index - start, 0), len(delta))
        for part, kept in ((slice(split), self.front), (slice(split, None), not self.front)):
            if len(delta[part]):
                limit = self._just_below(delta.dtype) if kept else self.value
                torch.ops.aten.hardshrink.out(delta[part], limit, out=out[part])

    def _just_below(self, dtype: torch.dtype) -> float:
        """The largest number below the value; of zeros it makes no difference whether they are kept."""
        here, zero = torch.tensor(self.value, dtype=dtype), torch.zeros((), dtype=dtype)
        return float(torch.nextafter(here, zero))


EVERYTHING_ABOVE = Boundary(0.0)
NOTHING_ABOVE = Boundary(math.inf)
