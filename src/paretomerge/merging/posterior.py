"""Posterior merging: natural parameters add, for every family, block by block.

    S_α = (1-a) H_0 + Σ α_t H_t,      μ_α = S_α^-1 [ (1-a) H_0 m_0 + Σ α_t H_t m_t ],      a = Σ α_t

which is the minimiser of the weighted surrogate losses (Variational Model Merging, arXiv 2412.08147). At
`a = 1` the prior cancels.

Shapes: `T` tasks, `K` weightings, `D` coordinates of a coupled block, `n` elements of an elementwise one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.merging.base import Domain, Inputs
from paretomerge.posteriors import Elementwise, Matrix, cholesky


@dataclass(frozen=True)
class PosteriorMerge:
    """Maximise `(1-a) log p_0 + Σ α_t log q_t` for Gaussian posteriors.

    Isotropic posteriors give weighted averaging (task arithmetic with a prior), diagonal ones Fisher- or
    Hessian-weighted averaging, dense and subspace ones a linear system. Where no task has any precision in an
    element, the weighted average is taken there.

    Raises:
        PosteriorError: a weighted precision that is not positive definite.
    """

    domain: ClassVar[Domain] = "weights"

    def prepare(self, inputs: Inputs) -> Inputs:
        """Nothing depends on the data alone: blocks are read when they are merged."""
        return inputs

    def blocks(self, state: Inputs) -> Sequence[str]:
        """The blocks of the family."""
        return state.posteriors[0].blocks()

    def merge_block(self, state: Inputs, values: Tensor, block: str) -> dict[str, Tensor]:
        """Add natural parameters, solve, expand."""
        return state.posteriors[0].expand(block, self.solve(state, values, block))

    def solve(self, state: Inputs, values: Tensor, block: str) -> Tensor:
        """The merged mean in the block's own coordinates: `[K, *shape]`, or `[K, D]` where they are coupled."""
        members = list(state.posteriors)
        if state.prior is not None:
            # The prior is one more posterior, with weight 1 - a.
            members.append(state.prior)
            rest = 1 - values.sum(-1, keepdim=True)
            # On the simplex the prior cancels: a rounding error must not stand in for it.
            values = torch.cat([values, torch.where(rest.abs() > 1e-12, rest, 0.0)], dim=1)
        naturals = [member.natural(block) for member in members]
        solve = solve_elementwise if isinstance(naturals[0], Elementwise) else solve_matrix
        return solve(naturals, values)  # type: ignore[arg-type]


def solve_elementwise(naturals: Sequence[Elementwise], values: Tensor) -> Tensor:
    """`Σ α_t h_t m_t / Σ α_t h_t`, elementwise, for all weightings in one product: `[K, *shape]`."""
    means = torch.stack([natural.mean.reshape(-1) for natural in naturals])
    values = values.to(means.dtype)
    shape = naturals[0].mean.shape
    if naturals[0].precision.ndim == 0 and len(shape) > 0:
        strengths = values * torch.stack([natural.precision for natural in naturals])
        total = strengths.sum(-1, keepdim=True)
        _require_positive(total > 0)
        return ((strengths / total) @ means).reshape(len(values), *shape)
    precisions = torch.stack([natural.precision.reshape(-1).expand_as(means[0]) for natural in naturals])
    # Common scale per element: tiny precisions (1e-20 is normal in float32 Fishers) must not underflow.
    scale = precisions.amax(0)
    precisions = precisions / torch.where(scale > 0, scale, 1.0)
    total = values @ precisions
    # Only a prior with negative weight can take precision away.
    _require_positive((total > 0) | (scale <= 0) | (values >= 0).all(-1, keepdim=True))
    weighted = values @ (precisions * means)
    informed = total > 0
    fallback = values @ means
    return torch.where(informed, weighted / torch.where(informed, total, 1.0), fallback).reshape(len(values), *shape)


def solve_matrix(naturals: Sequence[Matrix], values: Tensor) -> Tensor:
    """`(Σ α_t H_t)^-1 Σ α_t H_t m_t` by Cholesky in float64, one weighting after the other: `[K, D]`."""
    precisions = [natural.precision for natural in naturals]
    means = torch.stack([natural.precision_mean for natural in naturals])
    solutions = []
    for row in values.to(torch.float64):
        total = sum(weight * precision for weight, precision in zip(row, precisions, strict=True))
        factor = cholesky(total, f"the merged precision at weights {[round(float(w), 4) for w in row]}")
        solutions.append(torch.cholesky_solve((row @ means)[:, None], factor)[:, 0])
    return torch.stack(solutions)


def _require_positive(positive: Tensor) -> None:
    if not positive.all():
        raise PosteriorError(
            "the merged precision is not positive: with weights that sum to more than one, every task must be at "
            "least as precise as the prior"
        )
