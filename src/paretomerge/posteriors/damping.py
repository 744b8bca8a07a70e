"""Damping: the prior part of a posterior, added to its curvature in the curvature's own units.

Every task gets the same absolute strength, so that the relation between tasks is left as measured.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.posteriors.base import Posterior
from paretomerge.posteriors.dense import Dense
from paretomerge.posteriors.diagonal import Diagonal
from paretomerge.posteriors.isotropic import Isotropic
from paretomerge.posteriors.kronecker import Kronecker
from paretomerge.posteriors.low_rank import LowRank
from paretomerge.posteriors.product import Product
from paretomerge.posteriors.subspace import Subspace

RIDGE_FLOOR = 1e-6
"""Ridge of a direction without curvature, relative to the mean: no direction is left undetermined."""


def damp(curvatures: Mapping[str, Posterior], relative: float) -> dict[str, Posterior]:
    """Add a prior to every task's curvature, the same for all tasks, in the curvature's own units.

    Diagonal, Kronecker, low-rank and dense posteriors get `λ = relative × mean diagonal of the tasks' average
    precision` on every parameter, and keep their means. A subspace posterior gets one ridge per direction,
    proportional to the average curvature along it (Levenberg-Marquardt scaling: the merge does not depend on the
    directions' lengths), and centred at the task's anchor, its own finetune `e_t`: on the simplex the ridges add up to
    one pull towards the weighted average, `c(α) = (Σ α_t A_t + Λ)^-1 (Σ α_t η_t + Λ Σ α_t e_t)`. Isotropic posteriors
    are left alone.

    Args:
        curvatures: task → posterior without prior.
        relative: `>= 0`, dimensionless.

    Raises:
        PosteriorError: a negative `relative`, or curvature that is zero everywhere.
    """
    if not relative >= 0:
        raise PosteriorError(f"damping must be >= 0, got {relative}")
    if not curvatures:
        raise PosteriorError("no curvature to damp: give at least one task")
    first = next(iter(curvatures.values()))
    if isinstance(first, Product):
        damped = {part: damp(_parts(curvatures, part), relative) for part in first.parts}
        return {task: Product({part: damped[part][task] for part in first.parts}) for task in curvatures}
    if isinstance(first, Isotropic) or relative == 0:
        return dict(curvatures)
    strength = relative_strength(curvatures, relative)
    return {task: _with_strength(curvature, strength, task) for task, curvature in curvatures.items()}


def relative_strength(curvatures: Mapping[str, Posterior], relative: float) -> Tensor:
    """The absolute damping: one number, or for subspaces one per direction `[D]`; float64."""
    scales = torch.stack([_scale(curvature) for curvature in curvatures.values()]).mean(0)
    if not float(scales.mean()) > 0:
        raise PosteriorError("the curvature of every task is zero: no example reached it, or the model is constant")
    return relative * torch.maximum(scales, RIDGE_FLOOR * scales.mean())


def _scale(curvature: Posterior) -> Tensor:
    if isinstance(curvature, Diagonal):
        blocks = [curvature.natural(block).precision for block in curvature.blocks()]
        total = torch.stack([block.sum(dtype=torch.float64) for block in blocks]).sum()
        return total / sum(block.numel() for block in blocks)
    if isinstance(curvature, Dense):
        return curvature.precision.diagonal().mean()
    if isinstance(curvature, Subspace):
        return curvature.precision.diagonal().clone()
    if isinstance(curvature, Kronecker):
        values = [factors.eigenvalues for factors in curvature.factors.values()]
        total = torch.stack([value.sum(dtype=torch.float64) for value in values]).sum()
        return total / sum(value.numel() for value in values)
    if isinstance(curvature, LowRank):
        parts = [curvature.read(name) for name in curvature.names()]
        total = torch.stack([diagonal.sum() + factors.square().sum() for _, diagonal, factors in parts]).sum()
        return total / sum(diagonal.numel() for _, diagonal, _ in parts)
    raise PosteriorError(f"no damping is defined for the family {curvature.family!r}")


def _with_strength(curvature: Posterior, strength: Tensor, task: str) -> Posterior:
    if isinstance(curvature, Diagonal):
        added = float(strength)
        return Diagonal(curvature.mean, {block: curvature.precision[block] + added for block in curvature.blocks()})
    if isinstance(curvature, Dense):
        identity = torch.eye(len(curvature.precision), dtype=torch.float64)
        return Dense(curvature.mean, curvature.precision + strength * identity)
    if isinstance(curvature, Kronecker):
        damped = {layer: factors.damped(float(strength)) for layer, factors in curvature.factors.items()}
        return Kronecker(curvature.mean, damped)
    if isinstance(curvature, LowRank):
        diagonal = {name: curvature.diagonal[name] + float(strength) for name in curvature.names()}
        return LowRank(curvature.mean, diagonal, curvature.factors)
    assert isinstance(curvature, Subspace)
    return curvature.with_ridge(strength, curvature.basis.anchor(task))


def _parts(curvatures: Mapping[str, Posterior], part: str) -> dict[str, Posterior]:
    found: dict[str, Posterior] = {}
    for task, curvature in curvatures.items():
        assert isinstance(curvature, Product)
        found[task] = curvature.parts[part]
    return found
