"""Damping: the prior part of a posterior, added to its curvature in the curvature's own units.

Every task gets the same absolute strength, so that the relation between tasks is left as measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.posteriors.base import Posterior
from paretomerge.posteriors.dense import Dense
from paretomerge.posteriors.diagonal import Diagonal
from paretomerge.posteriors.expanded import Curvature, Expanded
from paretomerge.posteriors.isotropic import Isotropic
from paretomerge.posteriors.kronecker import Kronecker
from paretomerge.posteriors.low_rank import LowRank
from paretomerge.posteriors.mixture import Mixture, components_of
from paretomerge.posteriors.product import Product
from paretomerge.posteriors.shifted import Shifted
from paretomerge.posteriors.subspace import Subspace

RIDGE_FLOOR = 1e-6
"""Ridge of a direction without curvature, relative to the mean: no direction is left undetermined."""


def damp(curvatures: Mapping[str, Curvature], relative: float) -> dict[str, Posterior]:
    """Add a prior to every task's curvature, the same for all tasks, in the curvature's own units.

    Diagonal, Kronecker, low-rank and dense posteriors get `λ = relative × mean diagonal of the tasks' average
    precision` on every parameter, and keep their means. A subspace posterior gets one ridge per direction,
    proportional to the average curvature along it (Levenberg-Marquardt scaling: the merge does not depend on the
    directions' lengths), and centred at the task's anchor, its own finetune `e_t`: with equal weights the ridges
    add up to one pull towards the average, `c = (mean A_t + Λ)^-1 (mean η_t + Λ mean e_t)`; at other weights every
    direction's ridge is that of the task it comes from (`lending.py`). Isotropic posteriors are left alone. An
    expansion (`Expanded`) becomes a posterior here: its prior is centred at the task's finetune. The components of
    mixtures are damped alike, as if each were a task.

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
    plain = {task: found.curvature if isinstance(found, Expanded) else found for task, found in curvatures.items()}
    damped = _damp(plain, relative)
    return {
        task: found.damped(damped[task]) if isinstance(found, Expanded) else damped[task]
        for task, found in curvatures.items()
    }


def _damp(
    curvatures: Mapping[str, Posterior], relative: float, owners: Mapping[str, str] | None = None
) -> dict[str, Posterior]:
    """`owners`: whose finetune a curvature's prior is centred at, where its own name is not that of a task."""
    first = next(iter(curvatures.values()))
    if any(isinstance(curvature, Mixture) for curvature in curvatures.values()):
        return _damp_mixtures(curvatures, relative)
    if isinstance(first, Product):
        damped = {part: _damp(_parts(curvatures, part), relative, owners) for part in first.parts}
        return {task: Product({part: damped[part][task] for part in first.parts}) for task in curvatures}
    if isinstance(first, Isotropic) or relative == 0:
        return dict(curvatures)
    strength = relative_strength(curvatures, relative)
    return {
        name: _with_strength(curvature, strength, owners[name] if owners else name)
        for name, curvature in curvatures.items()
    }


def _damp_mixtures(curvatures: Mapping[str, Posterior], relative: float) -> dict[str, Posterior]:
    taken = {task: components_of(curvature) for task, curvature in curvatures.items()}
    names = {task: [f"{task}#{k}" for k in range(len(components))] for task, (components, _) in taken.items()}
    flat = {name: component for task in taken for name, component in zip(names[task], taken[task][0], strict=True)}
    damped = _damp(flat, relative, {name: task for task in taken for name in names[task]})
    return {task: Mixture([damped[name] for name in names[task]], logs) for task, (_, logs) in taken.items()}


def relative_strength(curvatures: Mapping[str, Posterior], relative: float) -> Tensor:
    """The absolute damping: one number, or for subspaces one per direction `[D]`; float64."""
    scales = torch.stack([_scale(curvature) for curvature in curvatures.values()]).mean(0)
    if not float(scales.mean()) > 0:
        raise PosteriorError("the curvature of every task is zero: no example reached it, or the model is constant")
    return relative * torch.maximum(scales, RIDGE_FLOOR * scales.mean())


def _scale(curvature: Posterior) -> Tensor:
    if isinstance(curvature, Diagonal):
        return _mean(curvature.natural(block).precision for block in curvature.blocks())
    if isinstance(curvature, Dense):
        return curvature.precision.diagonal().mean()
    if isinstance(curvature, Subspace):
        return curvature.precision.diagonal().clone()
    if isinstance(curvature, Kronecker):
        return _mean(factors.eigenvalues for factors in curvature.factors.values())
    if isinstance(curvature, LowRank):
        parts = (curvature.read(name) for name in curvature.names())
        return _mean(diagonal + factors.square().sum(0) for _, diagonal, factors in parts)
    raise PosteriorError(f"no damping is defined for the family {curvature.family!r}")


def _mean(parts: Iterable[Tensor]) -> Tensor:
    """The mean of all elements, one part in memory at a time; float64."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for part in parts:
        total, count = total + part.sum(dtype=torch.float64).cpu(), count + part.numel()
    return total / max(count, 1)


def _with_strength(curvature: Posterior, strength: Tensor, task: str) -> Posterior:
    if isinstance(curvature, Diagonal):
        shifted = Shifted(curvature.precision, float(strength))
        in_memory = not hasattr(curvature.precision, "spec")
        return Diagonal(curvature.mean, {name: shifted[name] for name in curvature.blocks()} if in_memory else shifted)
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
    return curvature.with_ridge(strength, curvature.basis.anchor(task), curvature.basis.own(task))


def _parts(curvatures: Mapping[str, Posterior], part: str) -> dict[str, Posterior]:
    found: dict[str, Posterior] = {}
    for task, curvature in curvatures.items():
        assert isinstance(curvature, Product)
        found[task] = curvature.parts[part]
    return found
