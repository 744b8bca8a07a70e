"""Spherical interpolation of two finetunes, tensor by tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from paretomerge.arithmetic import sweep
from paretomerge.errors import PosteriorError, WeightsError
from paretomerge.merging.base import Domain, Inputs, Outputs
from paretomerge.merging.linear import combine_block, floating_blocks, read_tensors

PARALLEL = 0.9995
"""Cosine beyond which two tensors are interpolated linearly."""
NO_LENGTH = 1e-8
"""Norm up to which a tensor has no direction."""


@dataclass(frozen=True)
class Slerp:
    """On the great circle from one tensor to the other: two tasks, and `t` is the weight of the second.

        θ = [ sin((1-t) ω) θ_1 + sin(t ω) θ_2 ] / sin ω,      cos ω = ⟨θ_1, θ_2⟩ / (‖θ_1‖ ‖θ_2‖)

    Each tensor is taken as one vector. Where `|cos ω| > 0.9995` it is `(1-t) θ_1 + t θ_2`. A tensor of norm 1e-8 or
    less has no direction, and its inner product is taken as it is.

    Shoemake, 1985, Animating rotation with quaternion curves.

    Raises:
        PosteriorError: another number of tasks than two.
        WeightsError: both weights are zero.
    """

    domain: ClassVar[Domain] = "weights"
    reads_base: ClassVar[bool] = False

    def prepare(self, inputs: Inputs) -> _Pair:
        """There have to be two tasks; angles are measured when a block is merged."""
        if len(inputs.tasks) != 2:
            raise PosteriorError(
                f"slerp interpolates between two finetunes, got {len(inputs.tasks)}: give two, or use another rule"
            )
        return _Pair(inputs)

    def blocks(self, state: _Pair) -> Sequence[str]:
        """Every floating-point tensor."""
        return floating_blocks(state.inputs)

    def merge_block(self, state: _Pair, values: Tensor, block: str, out: Outputs) -> Iterator[str]:
        """One pass to measure the angle, the first time, and one to merge."""
        totals = values.sum(-1)
        if not (totals > 0).all():
            raise WeightsError("both weights are zero: slerp needs a positive weight on at least one task")
        tensors = read_tensors(state.inputs, block)
        if block not in state.cosines:
            state.cosines[block] = _cosine(tensors, state.inputs.sum_dtype(tensors))
        shares = [_shares(state.cosines[block], t) for t in (values[:, 1] / totals).tolist()]
        combine_block(state.inputs, torch.tensor(shares, dtype=torch.float64), tensors, out[block])
        yield block


@dataclass(frozen=True, eq=False)
class _Pair:
    """The inputs, and the cosine between the two tensors of every block that was merged."""

    inputs: Inputs
    cosines: dict[str, float] = field(default_factory=dict)


def _cosine(tensors: Sequence[Tensor], dtype: torch.dtype) -> float:
    products: dict[int, tuple[float, float, float]] = {}

    def multiply(tiles: Sequence[Tensor], out: Tensor, start: int) -> None:
        one, other = tiles
        products[start] = float(torch.dot(one, one)), float(torch.dot(other, other)), float(torch.dot(one, other))

    sweep(tensors, None, multiply, dtype)
    first, second, inner = (math.fsum(sums) for sums in zip(*products.values(), strict=True)) if products else (0, 0, 0)
    lengths = [math.sqrt(square) if math.sqrt(square) > NO_LENGTH else 1.0 for square in (first, second)]
    return max(-1.0, min(1.0, inner / (lengths[0] * lengths[1])))


def _shares(cosine: float, t: float) -> tuple[float, float]:
    """The factors of both tensors."""
    if not abs(cosine) <= PARALLEL:
        return 1 - t, t
    angle = math.acos(cosine)
    return math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
