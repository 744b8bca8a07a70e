"""Sums of Kronecker-factored curvatures, inverted by preconditioned conjugate gradients.

A weighted sum of Kronecker products is no Kronecker product, so `(Σ w_s H_s) X = B` has no closed form. It is solved in
the eigenbasis of the heaviest term, with the diagonal of the sum in that basis as preconditioner: exact in one step
where one task has all the weight or all tasks share their bases, and a few dozen steps elsewhere.

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
from paretomerge.posteriors import Factored, KroneckerFactors

TOLERANCE = 1e-10
"""Of the residual, relative to the right-hand side, both in the norm of the preconditioner."""

MOST_STEPS = 2000


def merge_factored(naturals: Sequence[Factored], values: Tensor) -> Tensor:
    """Merged means of one layer at all weightings `values [K, S]`: `[K, O, I]`, float64.

    The displacement from the weighted average is solved for: where no task has curvature the average stays, and at a
    corner there is nothing to solve.

    Raises:
        PosteriorError: a weighted sum that is not positive semi-definite, or too badly conditioned to be inverted.
    """
    means = torch.stack([natural.mean for natural in naturals])
    merged = []
    for row in values.to(device=means.device, dtype=torch.float64):
        average = torch.einsum("s,soi->oi", row / row.sum(), means)
        system = FactoredSum([natural.factors for natural in naturals], row)
        merged.append(average + system.solve(system.pull(means - average)))
    return torch.stack(merged)


@dataclass(frozen=True, eq=False)
class FactoredSum:
    """`Σ_s w_s H_s` of one layer.

    Args:
        terms: the factors `H_s`.
        weights: `w [S]`; those of value zero are left out.
    """

    terms: Sequence[KroneckerFactors]
    weights: Tensor

    @cached_property
    def _active(self) -> list[tuple[float, KroneckerFactors]]:
        return [(w, term) for w, term in zip(self.weights.tolist(), self.terms, strict=True) if w]

    def pull(self, offsets: Tensor) -> Tensor:
        """`Σ_s w_s H_s X_s` for one matrix per term, `[S, O, I]`."""
        parts = [w * term.apply(x) for w, term, x in zip(self.weights.tolist(), self.terms, offsets, strict=True) if w]
        return torch.stack(parts).sum(0)

    def root(self, generator: torch.Generator) -> Tensor:
        """A draw from `N(0, Σ w_s H_s)`, `[O, I]`.

        Raises:
            PosteriorError: a negative weight, which a prior has where the tasks' weights sum to more than one.
        """
        if not bool((self.weights >= 0).all()):
            raise PosteriorError(
                "Kronecker posteriors cannot be sampled at weights that sum to more than one: the prior then counts "
                "negatively, and the merged precision has no root that is known. Scale the weights down"
            )
        parts = [
            term.scaled(w**0.5 * torch.randn(term.shape, generator=generator, dtype=torch.float64), 0.5)
            for w, term in self._active
        ]
        return torch.stack(parts).sum(0)

    def solve(self, right: Tensor, tolerance: float = TOLERANCE) -> Tensor:
        """`(Σ w_s H_s)^-1 B` for `B [O, I]` in the range of the sum, with no part in its null space.

        Raises:
            PosteriorError: as `merge_factored`.
        """
        frame = self._frame
        residual = frame.rotate(right)
        solution = torch.zeros_like(residual)
        scaled = self._precondition(residual)
        direction, energy = scaled, float((residual * scaled).sum())
        first = energy
        for _ in range(MOST_STEPS):
            if energy <= tolerance**2 * first or first == 0:
                return frame.rotate_back(solution)
            image = self._apply(direction)
            curvature = float((direction * image).sum())
            if not curvature > 0:
                raise PosteriorError(
                    "the merged precision is not positive definite: with weights that sum to more than one, every task "
                    "must be at least as precise as the prior"
                )
            step = energy / curvature
            solution = solution + step * direction
            residual = residual - step * image
            scaled = self._precondition(residual)
            energy, before = float((residual * scaled).sum()), energy
            direction = scaled + (energy / before) * direction
        raise PosteriorError(
            f"the merged precision of {frame.weight!r} is too badly conditioned: conjugate gradients have not "
            f"converged in {MOST_STEPS} steps. Add damping"
        )

    @cached_property
    def _frame(self) -> KroneckerFactors:
        """The heaviest term, whose eigenbasis is worked in."""
        if not self._active:
            raise PosteriorError("no task has any weight: give a positive weight, or a prior")
        return max(self._active, key=lambda pair: pair[0] * float(pair[1].eigenvalues.sum()))[1]

    @cached_property
    def _rotated(self) -> list[tuple[float, KroneckerFactors]]:
        """Every active term, its bases as seen from the frame's."""
        frame = self._frame
        return [
            (
                weight,
                KroneckerFactors(
                    term.weight,
                    None,
                    _relative(frame.inputs, term.inputs) if term is not frame else None,
                    _relative(frame.outputs, term.outputs) if term is not frame else None,
                    term.eigenvalues.to(torch.float64),
                ),
            )
            for weight, term in self._active
        ]

    def _apply(self, matrix: Tensor) -> Tensor:
        return torch.stack([weight * term.apply(matrix) for weight, term in self._rotated]).sum(0)

    @cached_property
    def _diagonal(self) -> Tensor:
        """The diagonal of the sum in the frame's eigenbasis."""
        parts = []
        for weight, term in self._rotated:
            values = term.eigenvalues
            if term.outputs is not None:
                values = term.outputs.square() @ values
            if term.inputs is not None:
                values = values @ term.inputs.square().T
            parts.append(weight * values)
        return torch.stack(parts).sum(0)

    def _precondition(self, residual: Tensor) -> Tensor:
        # Without curvature there is nothing to move; a negative entry is refused when its direction is tried.
        diagonal = self._diagonal
        return torch.where(diagonal != 0, residual / diagonal.abs(), 0.0)


def _relative(frame: Tensor | None, basis: Tensor | None) -> Tensor | None:
    """`Fᵀ U`: a basis as seen from another; the identity when both are the standard one."""
    if frame is None:
        return None if basis is None else basis.to(torch.float64)
    return frame.to(torch.float64).T @ basis.to(torch.float64) if basis is not None else frame.to(torch.float64).T
