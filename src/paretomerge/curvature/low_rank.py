"""Low-rank-plus-diagonal curvature: leading eigenvectors of the Gauss-Newton matrix, and the rest of its diagonal."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from paretomerge.curvature.eigenvectors import GaussNewton, leading_eigenvectors
from paretomerge.curvature.fisher import diagonal_fisher
from paretomerge.curvature.methods import FitLowRank
from paretomerge.curvature.predictor import LossModel
from paretomerge.posteriors import LowRank
from paretomerge.types import Batch, Params


def low_rank_curvature(
    model: LossModel,
    mean: Params,
    points: Sequence[Params],
    batches: Sequence[Batch],
    method: FitLowRank,
    generator: torch.Generator,
) -> tuple[LowRank, int]:
    """Curvature averaged over `points`: the factors of all of them, each scaled by `√(λ / points)`; and its passes.

    Raises:
        PosteriorError: as `leading_eigenvectors`.
    """
    factors: dict[str, list[Tensor]] = {name: [] for name in model.trainable}
    diagonal = {name: torch.zeros_like(mean[name]) for name in model.trainable}
    passes = 0
    for point in points:
        found = leading_eigenvectors(GaussNewton.of(model, point, batches, method.examples), method.rank)
        passes += found.passes
        roots = (found.values / len(points)).sqrt()
        for name, vectors in found.vectors.items():
            factors[name].append(vectors * roots.to(vectors.dtype).reshape(-1, *([1] * (vectors.ndim - 1))))
        if method.diagonal != "none":
            measured = diagonal_fisher(model, point, batches, method.diagonal, method.examples, generator)
            passes += measured.passes
            for name, part in measured.diagonal.items():
                diagonal[name] += part / len(points)
    stacked = {name: torch.cat(parts) for name, parts in factors.items()}
    for name, part in diagonal.items():
        # what the factors say already; a sampled diagonal may be below it
        part.sub_(stacked[name].square().sum(0)).clamp_(min=0)
    covered = {name: mean[name] for name in model.trainable}
    return LowRank(covered, diagonal, stacked), passes
