"""Posterior merging: natural parameters add, for every family, block by block.

    S_α = (1-a) H_0 + Σ α_t H_t,      μ_α = S_α^-1 [ (1-a) H_0 m_0 + Σ α_t H_t m_t ],      a = Σ α_t

which is the minimiser of the weighted surrogate losses (Variational Model Merging, arXiv 2412.08147). At
`a = 1` the prior cancels.

Shapes: `T` tasks, `K` weightings, `D` coordinates of a coupled block, `n` elements of an elementwise one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.merging.base import Domain, Inputs, Outputs
from paretomerge.merging.elementwise import merge_elementwise
from paretomerge.merging.factored import merge_factored
from paretomerge.merging.low_rank import merge_low_rank
from paretomerge.posteriors import Elementwise, Factored, LendingCorrection, LowRank, Matrix, Posterior, cholesky


@dataclass(frozen=True)
class PosteriorMerge:
    """Maximise `(1-a) log p_0 + Σ α_t log q_t` for Gaussian posteriors.

    Isotropic posteriors give weighted averaging (task arithmetic with a prior), diagonal ones Fisher- or
    Hessian-weighted averaging, all others a linear system: by Cholesky for dense and subspace posteriors, by
    conjugate gradients for each layer of Kronecker ones, by Woodbury's formula for low rank. Where no task has any
    precision in an element, the weighted average is taken there, and counted as `"elements without precision"`.

    Raises:
        PosteriorError: a weighted precision that is not positive definite.
    """

    domain: ClassVar[Domain] = "weights"
    reads_base: ClassVar[bool] = False

    def prepare(self, inputs: Inputs) -> Inputs:
        """Nothing depends on the data alone: blocks are read when they are merged."""
        return inputs

    def blocks(self, state: Inputs) -> Sequence[str]:
        """The blocks of the family."""
        return state.posteriors[0].blocks()

    def merge_block(self, state: Inputs, values: Tensor, block: str, out: Outputs) -> Iterator[str]:
        """Add natural parameters, solve, expand."""
        members, values = with_prior(state, values)
        naturals = [member.natural(block) for member in members]
        if isinstance(naturals[0], Elementwise):
            (name,) = members[0].names(block)
            merge_elementwise(state, naturals, values, out[name])
            yield name
        elif isinstance(naturals[0], LowRank):
            yield from merge_low_rank(naturals, values, out)
        elif isinstance(naturals[0], Factored):
            yield from members[0].expand(
                block, merge_factored(naturals, values, state.sum_dtype(members[0].specs.values())), out
            )
        else:
            yield from members[0].expand(block, solve_matrix(naturals, values), out)

    def solve(self, state: Inputs, values: Tensor, block: str) -> Tensor:
        """The merged mean in the coordinates of a coupled block: `[K, D]`."""
        members, values = with_prior(state, values)
        naturals = [member.natural(block) for member in members]
        return solve_matrix(naturals, values)


_LARGEST_BATCH = 2**20
"""Entries of the precisions that are solved with at a time."""


def with_prior(state: Inputs, values: Tensor) -> tuple[list[Posterior], Tensor]:
    """The posteriors and their weights; the prior is one more posterior, with weight `1 - a`."""
    members = list(state.posteriors)
    if state.prior is not None:
        members.append(state.prior)
        rest = 1 - values.sum(-1, keepdim=True)
        # On the simplex the prior cancels: a rounding error must not stand in for it.
        values = torch.cat([values, torch.where(rest.abs() > 1e-12, rest, 0.0)], dim=1)
    return members, values


def solve_matrix(naturals: Sequence[Matrix], values: Tensor) -> Tensor:
    """`(Σ α_t H_t)^-1 Σ α_t H_t m_t` by Cholesky in float64, as many weightings at a time as memory allows: `[K, D]`.

    Ridges on what a task lends are corrected for its weight (`posteriors/lending.py`).
    """
    means = torch.stack([natural.precision_mean for natural in naturals])
    values = values.to(torch.float64)
    together = max(1, _LARGEST_BATCH // means.shape[1] ** 2)
    return torch.cat([_solve_batch(naturals, means, rows) for rows in values.split(together)])


def _solve_batch(naturals: Sequence[Matrix], means: Tensor, values: Tensor) -> Tensor:
    weighted = zip(values.unbind(-1), naturals, strict=True)
    total = sum(weight[:, None, None] * natural.precision for weight, natural in weighted)
    assert isinstance(total, Tensor)
    right = values @ means
    if (correction := LendingCorrection.of([natural.lent for natural in naturals], values)) is not None:
        total, right = correction.precision(total), correction.right(right + correction.pull)
    try:
        factor = cholesky(total, "the merged precision")
    except PosteriorError:
        for row, precision in zip(values, total, strict=True):
            cholesky(precision, f"the merged precision at weights {[round(float(w), 4) for w in row]}")
        raise
    return torch.cholesky_solve(right[..., None], factor)[..., 0]
