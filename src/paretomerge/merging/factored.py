"""Sums of Kronecker-factored curvatures, inverted by preconditioned conjugate gradients.

A weighted sum of Kronecker products is no Kronecker product, so `(Σ w_s H_s) X = B` has no closed form. It is solved in
a common frame, the eigenbases of the terms' average factors, with the diagonal of the sum in that frame as
preconditioner: exact in one step where all terms share their bases (or have none), tens of steps elsewhere.

Hestenes & Stiefel, 1952, Methods of Conjugate Gradients for Solving Linear Systems.
Shapes: `S` terms (the tasks and, if there is one, the prior), `K` weightings, `O` outputs, `I` inputs of the layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.posteriors import Factored, KroneckerFactors, common_frame, diagonal_in, seen_from

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-6}
"""Of the residual, relative to the right-hand side, both in the norm of the preconditioner; by the dtype of sums."""

MOST_STEPS = 2000


def merge_factored(naturals: Sequence[Factored], values: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Merged means of one layer at all weightings `values [K, S]`: `[K, O, I]`, float64.

    The displacement from the weighted average is solved for: where no task has curvature the average stays, and at a
    corner there is nothing to solve. `dtype` is that of the parameters: it decides how exactly.

    Raises:
        PosteriorError: a weighted sum that is not positive semi-definite, or too badly conditioned to be inverted.
    """
    means = torch.stack([natural.mean for natural in naturals])
    terms = FactoredTerms([natural.factors for natural in naturals])
    merged = []
    for row in values.to(device=means.device, dtype=torch.float64):
        average = torch.einsum("s,soi->oi", row / row.sum(), means)
        merged.append(average + terms.solve(row, terms.pull(row, means - average), TOLERANCE[dtype]))
    return torch.stack(merged)


@dataclass(frozen=True, eq=False)
class FactoredTerms:
    """The factors `H_s` of one layer in all terms of a sum `Σ_s w_s H_s`."""

    terms: Sequence[KroneckerFactors]

    def pull(self, weights: Tensor, offsets: Tensor) -> Tensor:
        """`Σ_s w_s H_s X_s` for one matrix per term, `[S, O, I]`."""
        parts = [w * term.apply(x) for w, term, x in zip(weights.tolist(), self.terms, offsets, strict=True) if w]
        return torch.stack(parts).sum(0)

    def root(self, weights: Tensor, generator: torch.Generator) -> Tensor:
        """A draw from `N(0, Σ w_s H_s)`, `[O, I]`.

        Raises:
            PosteriorError: a negative weight, which a prior has where the tasks' weights sum to more than one.
        """
        if not bool((weights >= 0).all()):
            raise PosteriorError(
                "Kronecker posteriors cannot be sampled at weights that sum to more than one: the prior then counts "
                "negatively, and the merged precision has no root that is known. Scale the weights down"
            )
        parts = [
            term.scaled(w**0.5 * torch.randn(term.shape, generator=generator, dtype=torch.float64), 0.5)
            for w, term in zip(weights.tolist(), self.terms, strict=True)
            if w
        ]
        return torch.stack(parts).sum(0)

    def solve(self, weights: Tensor, right: Tensor, tolerance: float = 1e-10) -> Tensor:
        """`(Σ w_s H_s)^-1 B` for `B [O, I]` in the range of the sum, with no part in its null space.

        Raises:
            PosteriorError: as `merge_factored`.
        """
        diagonal = torch.einsum("s,soi->oi", weights, self._diagonals)
        # Without curvature there is nothing to move; a negative entry is refused when its direction is tried.
        inverse = torch.where(diagonal != 0, 1 / torch.where(diagonal != 0, diagonal, 1.0).abs(), 0.0)
        residual = self._frame.rotate(right)
        solution = torch.zeros_like(residual)
        scaled = inverse * residual
        direction, energy = scaled, float((residual * scaled).sum())
        first = energy
        for _ in range(MOST_STEPS):
            if energy <= tolerance**2 * first or first == 0:
                return self._frame.rotate_back(solution)
            image = self._apply(weights, direction)
            curvature = float((direction * image).sum())
            if not curvature > 0:
                raise PosteriorError(
                    "the merged precision is not positive definite: with weights that sum to more than one, every task "
                    "must be at least as precise as the prior"
                )
            step = energy / curvature
            solution = solution + step * direction
            residual = residual - step * image
            scaled = inverse * residual
            energy, before = float((residual * scaled).sum()), energy
            direction = scaled + (energy / before) * direction
        raise PosteriorError(
            f"the merged precision of {self.terms[0].weight!r} is too badly conditioned: conjugate gradients have not "
            f"converged in {MOST_STEPS} steps. Add damping"
        )

    @cached_property
    def _frame(self) -> KroneckerFactors:
        return common_frame(self.terms)

    @cached_property
    def _rotated(self) -> list[KroneckerFactors]:
        """Every term, its bases as seen from the frame's."""
        return [seen_from(self._frame, term) for term in self.terms]

    @cached_property
    def _diagonals(self) -> Tensor:
        """The diagonal of every term in the frame, `[S, O, I]`."""
        return torch.stack([diagonal_in(self._frame, term) for term in self.terms])

    def _apply(self, weights: Tensor, matrix: Tensor) -> Tensor:
        parts = [w * term.apply(matrix) for w, term in zip(weights.tolist(), self._rotated, strict=True) if w]
        return torch.stack(parts).sum(0)
