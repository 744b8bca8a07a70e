"""Posteriors with diagonal precision, merged element by element.

    θ = Σ α_t h_t m_t / Σ α_t h_t,      or  Σ α_t m_t / Σ α_t  where no task has any precision

Precisions of trained networks go from 1e-30 to 1e3, so products such as `h m` may underflow in float32. Where they
might, each element is taken on the scale of its largest precision.

Shapes: `S` posteriors (the tasks and, if there is one, the prior), `K` weightings, `n` elements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from paretomerge.arithmetic import exact, sweep, weighted_sum
from paretomerge.errors import PosteriorError
from paretomerge.merging.base import Inputs
from paretomerge.merging.tally import Tally
from paretomerge.posteriors import Elementwise

UNINFORMED = "elements without precision"


def merge_elementwise(inputs: Inputs, naturals: Sequence[Elementwise], values: Tensor, out: Tensor) -> None:
    """Merge one tensor at all weightings `values [K, S]` into `out [K, *shape]`, rounded once.

    Raises:
        PosteriorError: a merged precision that is not positive, which only a prior with negative weight can cause.
    """
    means = [natural.mean for natural in naturals]
    precisions = [natural.precision for natural in naturals]
    dtype = inputs.sum_dtype([*means, *precisions])
    if all(precision.ndim == 0 for precision in precisions) and means[0].ndim > 0:
        strengths = values * torch.tensor([float(precision) for precision in precisions], dtype=torch.float64)
        totals = strengths.sum(-1, keepdim=True)
        _require_positive(bool((totals > 0).all()))
        shares = strengths / totals
        sweep(means, out, lambda tiles, target, start: weighted_sum(shares, tiles, target), dtype)
        return
    precisions = [precision.expand_as(mean) for precision, mean in zip(precisions, means, strict=True)]
    sweep([*precisions, *means], out, _DiagonalTile(values, inputs.tally), dtype, scratch=1)


@dataclass(frozen=True, eq=False)
class _DiagonalTile:
    """The merge of one tile: one weighting in place if the numbers allow it, else the general way."""

    values: Tensor
    tally: Tally

    def __call__(self, tiles: Sequence[Tensor], out: Tensor, start: int) -> None:
        count = self.values.shape[1]
        precisions, means, total = tiles[:count], tiles[count : 2 * count], tiles[-1]
        if len(self.values) == 1 and self._merge_one(precisions, means, out[0], total):
            return
        self._merge_all(torch.stack(list(precisions)), torch.stack(list(means)), out)

    def _merge_one(self, precisions: Sequence[Tensor], means: Sequence[Tensor], out: Tensor, total: Tensor) -> bool:
        """Whether it could be done: no merged precision so small that products with it underflow, nothing infinite."""
        terms = [term for term in zip(self.values[0].tolist(), precisions, means, strict=True) if term[0]]
        weights = torch.tensor([[weight for weight, *_ in terms]], dtype=torch.float64)
        weighted_sum(weights, [precision for _, precision, _ in terms], total[None])
        for number, (weight, precision, mean) in enumerate(terms):
            if number:
                out.addcmul_(precision, mean, value=weight)
            else:
                torch.mul(precision, mean, out=out).mul_(weight)
        # of a product that underflows at most `tiny` is lost, so of the merged mean at most tiny^½
        small = torch.finfo(total.dtype).tiny ** 0.5
        if not (float(total.amin()) > small and math.isfinite(float(total.sum() + out.sum()))):
            return False
        out.div_(total)
        return True

    @exact
    def _merge_all(self, precisions: Tensor, means: Tensor, out: Tensor) -> None:
        """Any number of weightings at once: `[S, n]` and `[S, n]` to `[K, n]`."""
        values = self.values.to(dtype=means.dtype, device=means.device)
        # Each element on the scale of its largest precision: neither sums nor products leave the range.
        scale = precisions.amax(0)
        scaled = precisions / torch.where(scale > 0, scale, 1.0)
        total = values @ scaled
        torch.div(values @ (scaled * means), total, out=out)
        # The largest may be that of a task without weight, beside which all others underflow; or there is none.
        resolved = total > torch.finfo(total.dtype).tiny ** 0.5
        places = (~resolved).any(0).nonzero()[:, 0]
        if len(places):
            precisions, means = precisions[:, places], means[:, places]
            for row, weights in zip(out, values, strict=True):
                row[places] = self._merge_row(precisions, means, weights)

    @exact
    def _merge_row(self, precisions: Tensor, means: Tensor, weights: Tensor) -> Tensor:
        """One weighting, only the tasks that have weight; elements without precision get the weighted average."""
        active = weights != 0
        precisions, means, weights = precisions[active], means[active], weights[active]
        scale = precisions.amax(0)
        informed = scale > 0
        scaled = precisions / torch.where(informed, scale, 1.0)
        total = torch.where(informed, weights @ scaled, 1.0)
        _require_positive(bool((total > 0).all()))
        self.tally.add(UNINFORMED, int((~informed).sum()))
        average = (weights / weights.sum()) @ means
        return torch.where(informed, weights @ (scaled * means) / total, average)


def _require_positive(positive: bool) -> None:
    if not positive:
        raise PosteriorError(
            "the merged precision is not positive: with weights that sum to more than one, every task must be at "
            "least as precise as the prior"
        )
