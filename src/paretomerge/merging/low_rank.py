"""Sums of low-rank-plus-diagonal curvatures, inverted by Woodbury's formula tensor by tensor.

    (D + U W Uᵀ)^-1 B = D^-1 (B - U z),      z = (I + W Uᵀ D^-1 U)^-1 W Uᵀ D^-1 B

with `D = Σ w_s d_s`, the factors of all terms side by side in `U`, and their weights in `W`. Two sweeps over the
tensors (three for a merge, whose right-hand side needs inner products first); what is held is one tensor of every term.

Shapes: `S` terms (the tasks and, if there is one, the prior), `K` weightings, `R` factors of a term, `n` elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from paretomerge.arithmetic import round_into
from paretomerge.errors import PosteriorError
from paretomerge.merging.base import Outputs
from paretomerge.posteriors import LowRank

Right = Callable[[str], Tensor]
"""Right-hand sides of one tensor: name → `[K, n]`, float64."""


def merge_low_rank(terms: Sequence[LowRank], values: Tensor, out: Outputs) -> Iterator[str]:
    """Merge at all weightings `values [K, S]`, tensor by tensor, each rounded once into `out`.

    The displacement from the weighted average is solved for: where no task has curvature the average stays, and at a
    corner there is nothing to solve.

    Raises:
        PosteriorError: a merged precision that is not positive definite.
    """
    values = values.to(torch.float64)
    shares = values / values.sum(1, keepdim=True)
    along = _inner_products(terms, shares)

    def right(name: str) -> Tensor:
        parts = [term.read(name) for term in terms]
        average = shares @ torch.stack([mean for mean, _, _ in parts])
        total = torch.zeros_like(average)
        for s, (mean, diagonal, factors) in enumerate(parts):
            total += values[:, s, None] * (diagonal * (mean - average) + along[s] @ factors)
        return total

    for name, step in solve_low_rank(terms, values, right):
        average = shares @ torch.stack([term.mean[name].reshape(-1).to(torch.float64) for term in terms])
        target = out[name]
        round_into(target, (average + step).reshape(target.shape))
        yield name


def solve_low_rank(terms: Sequence[LowRank], values: Tensor, right: Right) -> Iterator[tuple[str, Tensor]]:
    """`(Σ w_s H_s)^-1 B` for every weighting `[K, S]`: yields `(name, [K, n])`.

    Raises:
        PosteriorError: a diagonal that is not positive where factors or right-hand sides are not zero.
    """
    count = len(values)
    weights = torch.cat([values[:, s, None].expand(count, term.rank) for s, term in enumerate(terms)], dim=1)
    size = weights.shape[1]
    coupling = torch.zeros(count, size, size, dtype=torch.float64)
    pulled = torch.zeros(count, size, dtype=torch.float64)
    for name in terms[0].names():
        diagonal, factors = _summed(terms, values, name)
        wanted = right(name)
        for k in range(count):
            inverse = _inverse(diagonal[k], factors, wanted[k], name)
            coupling[k] += (factors * inverse) @ factors.T
            pulled[k] += factors @ (inverse * wanted[k])
    identity = torch.eye(size, dtype=torch.float64)
    system = identity + weights[:, :, None] * coupling
    # Its eigenvalues other than one are those of D^-½ (D + U W Uᵀ) D^-½.
    if not bool((torch.linalg.eigvals(system).real > 0).all()):
        raise PosteriorError(
            "the merged precision is not positive definite: with weights that sum to more than one, every task must be "
            "at least as precise as the prior"
        )
    pull = torch.linalg.solve(system, (weights * pulled)[..., None])[..., 0]
    for name in terms[0].names():
        diagonal, factors = _summed(terms, values, name)
        left = right(name) - pull @ factors
        yield name, torch.stack([_inverse(diagonal[k], factors, left[k], name) * left[k] for k in range(count)])


def _inner_products(terms: Sequence[LowRank], shares: Tensor) -> list[Tensor]:
    """`U_s (m_s - m̄_k)` for every term: `[K, R]` each."""
    along = [torch.zeros(len(shares), term.rank, dtype=torch.float64) for term in terms]
    for name in terms[0].names():
        parts = [term.read(name) for term in terms]
        average = shares @ torch.stack([mean for mean, _, _ in parts])
        for s, (mean, _, factors) in enumerate(parts):
            along[s] += (mean - average) @ factors.T
    return along


def _summed(terms: Sequence[LowRank], values: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Diagonals `[K, n]` and all factors `[Σ R, n]` of one tensor."""
    parts = [term.read(name) for term in terms]
    return values @ torch.stack([diagonal for _, diagonal, _ in parts]), torch.cat([factors for *_, factors in parts])


def _inverse(diagonal: Tensor, factors: Tensor, wanted: Tensor, name: str) -> Tensor:
    """`1 / d`, zero where nothing is known of an element and nothing is asked."""
    positive = diagonal > 0
    if not bool(positive.all()):
        silent = (factors == 0).all(0) & (wanted == 0) & (diagonal == 0)
        if not bool((positive | silent).all()):
            raise PosteriorError(
                f"the merged diagonal of {name!r} is not positive: a low-rank posterior needs damping (or a measured "
                "diagonal), and with weights that sum to more than one every task must be at least as precise as the "
                "prior"
            )
    return torch.where(positive, 1 / torch.where(positive, diagonal, 1.0), 0.0)
