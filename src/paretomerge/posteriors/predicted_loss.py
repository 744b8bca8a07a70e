"""A task's loss as its posterior sees it: the zero-evaluation prediction behind every surrogate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from paretomerge.posteriors.expanded import Curvature
from paretomerge.posteriors.subspace import Subspace
from paretomerge.types import Params


@dataclass(frozen=True, eq=False)
class PredictedLoss:
    """`l̂_t(θ) = offset + ½θᵀΛθ - ηᵀθ`, the quadratic whose natural parameters are the curvature's.

    The curvature holds the likelihood part only (no prior, no ridge). For an expansion around `θ_c` with loss
    `l_c`, gradient `b` and curvature `A` it is `l_c + bᵀ(θ-θ_c) + ½(θ-θ_c)ᵀA(θ-θ_c)`.

    Args:
        curvature: a posterior without prior, or an expansion, in units of one average example (mean loss).
        offset: the constant that makes it equal the measured loss where it was expanded.
        examples: how many examples it was measured on.
    """

    curvature: Curvature
    offset: float
    examples: int = 0

    @classmethod
    def anchored(cls, curvature: Curvature, at: Params, loss: float, examples: int = 0) -> PredictedLoss:
        """With the offset that makes it equal `loss` at the parameters `at`."""
        return cls(curvature, loss - curvature.energy(at), examples)

    def at(self, params: Params) -> float:
        """Predicted mean loss at `params`."""
        return self.offset + self.curvature.energy(params)

    def at_coordinates(self, coordinates: Tensor) -> Tensor:
        """Predicted mean loss at subspace coordinates `[..., D]`."""
        assert isinstance(self.curvature, Subspace), "coordinates belong to subspace posteriors"
        return self.offset + self.curvature.energy_at(coordinates)


def predicted_at(losses: Sequence[PredictedLoss], params: Params) -> list[float]:
    """Predicted mean losses of several tasks at one point; where they share a basis it is projected only once.

    Raises:
        PosteriorError: parameters that lie outside of a subspace.
    """
    curvatures = [loss.curvature for loss in losses]
    first = curvatures[0]
    if isinstance(first, Subspace) and all(isinstance(c, Subspace) and c.basis is first.basis for c in curvatures):
        coordinates = first.project(params)
        return [float(loss.at_coordinates(coordinates)) for loss in losses]
    return [loss.at(params) for loss in losses]
