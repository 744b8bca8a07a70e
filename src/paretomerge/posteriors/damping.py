"""Damping: the prior part of a posterior, added to its curvature in the curvature's own units.

Every task gets the same absolute strength, so that the relation between tasks is left as measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.posteriors.base import Posterior
from paretomerge.posteriors.dense import Dense
from paretomerge.posteriors.diagonal import Diagonal
from paretomerge.posteriors.isotropic import Isotropic
from paretomerge.posteriors.product import Product
from paretomerge.posteriors.subspace import Subspace


def damp(curvatures: Mapping[str, Posterior], relative: float) -> dict[str, Posterior]:
    """Add `λ = relative × mean diagonal of the tasks' average precision` to every task's precision.

    Diagonal and dense posteriors keep their means. A subspace posterior gets a ridge centred at its own finetune
    (`e_t`): on the simplex the ridges add up to one pull towards the weighted average, and with no information
    the merge is the weighted average: `c(α) = (Σ α_t A_t + λI)^-1 (Σ α_t η_t + λ Σ α_t e_t)`. Isotropic posteriors
    are left as they are.

    Args:
        curvatures: task → posterior without prior.
        relative: `>= 0`, dimensionless.

    Raises:
        PosteriorError: a negative `relative`, or curvature that is zero everywhere.
    """
    if not relative >= 0:
        raise PosteriorError(f"damping must be >= 0, got {relative}")
    first = next(iter(curvatures.values()))
    if isinstance(first, Product):
        damped = {part: damp(_parts(curvatures, part), relative) for part in first.parts}
        return {task: Product({part: damped[part][task] for part in first.parts}) for task in curvatures}
    if isinstance(first, Isotropic) or relative == 0:
        return dict(curvatures)
    strength = relative * sum(mean_precision(curvature) for curvature in curvatures.values()) / len(curvatures)
    if not strength > 0:
        raise PosteriorError("the curvature of every task is zero: no example reached it, or the model is constant")
    return {task: _with_strength(curvature, strength, task) for task, curvature in curvatures.items()}


def mean_precision(posterior: Posterior) -> float:
    """The mean diagonal entry of the precision."""
    if isinstance(posterior, Diagonal):
        blocks = [posterior.natural(block).precision for block in posterior.blocks()]
        return sum(float(block.to(torch.float64).sum()) for block in blocks) / sum(block.numel() for block in blocks)
    precision: Any = getattr(posterior, "precision")  # noqa: B009 - a matrix family
    return float(precision.diagonal().mean()) if isinstance(precision, Tensor) else float(precision)


def _with_strength(curvature: Posterior, strength: float, task: str) -> Posterior:
    if isinstance(curvature, Diagonal):
        return Diagonal(curvature.mean, {block: curvature.precision[block] + strength for block in curvature.blocks()})
    if isinstance(curvature, Dense):
        return Dense(curvature.mean, curvature.precision + strength * torch.eye(len(curvature.precision)).double())
    if isinstance(curvature, Subspace):
        return curvature.with_ridge(strength, curvature.basis.corner(task))
    raise PosteriorError(f"no damping is defined for the family {curvature.family!r}")


def _parts(curvatures: Mapping[str, Posterior], part: str) -> dict[str, Posterior]:
    found: dict[str, Posterior] = {}
    for task, curvature in curvatures.items():
        assert isinstance(curvature, Product)
        found[task] = curvature.parts[part]
    return found
