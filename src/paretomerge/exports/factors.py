"""The change of one weight as a product `B·A` of low rank.

    linear in the task vectors    Δ = Σ_t c_t s_t B_t A_t: `B = [c_1 s_1 B_1, …]`, `A = [A_1; …]`, rank at most Σ_t r_t
    anything else                 the singular value decomposition of Δ, cut off

The cut is the best approximation of its rank (Eckart & Young, "The approximation of one matrix by another of lower
rank", 1936): its error is the root of the sum of the squared singular values that are left out.

Shapes: `Δ [outputs, inputs]`, `B [outputs, r]`, `A [r, inputs]`; all in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NEGLIGIBLE = 1e-6
"""Singular values that add up to this part of a change are left over from float32 sums, as of a task without weight."""


@dataclass(frozen=True, eq=False)
class Factors:
    """`up [outputs, r]` times `down [r, inputs]`; `is_exact` says that the change is linear in what it was made of."""

    up: Tensor
    down: Tensor
    is_exact: bool = False

    @property
    def rank(self) -> int:
        """`r`."""
        return self.down.shape[0]

    def product(self) -> Tensor:
        """`B·A`."""
        return self.up @ self.down


def factorise(
    change: Tensor, parts: Sequence[Factors] | None, *, error: float, rounding: float, rank: int | None = None
) -> Factors:
    """`B·A` near a change.

    Args:
        change: `Δ`.
        parts: the tasks' own changes, of which `Δ` may be a linear combination; `None` where they have none of low
            rank.
        error: the largest `‖Δ - B·A‖` that is allowed where `Δ` is not such a combination; the rank is the smallest
            that reaches it.
        rounding: how large `‖Δ - B·A‖` may be for `Δ` to count as one: the rounding errors in `Δ` itself.
        rank: instead of both errors, the largest rank.
    """
    combined = combine(change, parts) if parts else None
    if combined is not None and float(torch.linalg.norm(change - combined.product())) <= rounding:
        return compress(combined, rank)
    return truncate(change, max(error, rounding), rank)


def combine(change: Tensor, parts: Sequence[Factors]) -> Factors:
    """The linear combination of `parts` that is nearest to `change`, by least squares on their inner products."""
    gram = torch.stack([torch.stack([((s.up.T @ t.up) * (s.down @ t.down.T)).sum() for t in parts]) for s in parts])
    along = torch.stack([((part.up.T @ change) * part.down).sum() for part in parts])
    # Task vectors may be equal, or zero: the shortest solution then.
    coefficients = torch.linalg.lstsq(gram, along[:, None], driver="gelsd").solution[:, 0]
    up = torch.cat([c * part.up for c, part in zip(coefficients, parts, strict=True)], dim=1)
    return Factors(up, torch.cat([part.down for part in parts]), is_exact=True)


def compress(factors: Factors, rank: int | None = None) -> Factors:
    """The same product, up to `NEGLIGIBLE`, in as few columns as it needs, or in the best `rank` of them."""
    left, upper = torch.linalg.qr(factors.up)
    right, lower = torch.linalg.qr(factors.down.T)
    inner, values, outer = torch.linalg.svd(upper @ lower.T, full_matrices=False)
    rest = values.square().flip(0).cumsum(0).flip(0)
    kept = max(1, int((rest > NEGLIGIBLE**2 * rest[0]).sum()))
    cut = kept if rank is None else min(rank, kept)
    root = values[:cut].sqrt()
    up = left @ inner[:, :cut] * root
    down = root[:, None] * (outer[:cut] @ right.T)
    return Factors(up, down, factors.is_exact and cut == kept)


def truncate(change: Tensor, error: float, rank: int | None = None) -> Factors:
    """The singular value decomposition of `change`, cut off where the rest is at most `error`, or at `rank`."""
    if change.shape[0] > change.shape[1]:
        turned = truncate(change.T, error, rank)
        return Factors(turned.down.T.contiguous(), turned.up.T.contiguous())
    squares, vectors = torch.linalg.eigh(change @ change.T)
    squares, vectors = squares.flip(0).clamp(min=0), vectors.flip(1)
    rest = squares.flip(0).cumsum(0).flip(0)  # rest[r]: what is lost when r values are kept
    needed = int((rest > error**2).sum())
    cut = max(1, needed if rank is None else min(rank, len(squares)))
    vectors = vectors[:, :cut]
    down = vectors.T @ change
    length = torch.linalg.norm(down, dim=1).clamp(min=torch.finfo(torch.float64).tiny).sqrt()
    return Factors(vectors * length, down / length[:, None])
