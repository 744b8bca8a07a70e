"""The ridge chosen by the curvature itself: marginal likelihood of the merge with equal weights.

The tasks' quadratic losses, averaged, are the negative log likelihood of all their examples `N` (per example), and the
ridge is a prior `N(a, (N Λ)^-1)` around the average of the tasks' anchors. Integrating the parameters out,

    log Z(Λ) = -N [ ½ cᵀH̄c - η̄ᵀc + ½ (c-a)ᵀΛ(c-a) ] - ½ log det(I + Λ^-1 H̄),     c = (H̄ + Λ)^-1 (η̄ + Λ a)

up to a constant that no ridge changes (MacKay, 1992, Bayesian interpolation). It costs no evaluation of any model. The
evidence of each task by itself prefers ridges that are several times too strong: what is merged is the sum.

Shapes: `T` tasks, `D` coordinates of a coupled block.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.posteriors.base import Elementwise, Matrix, Posterior, cholesky
from paretomerge.posteriors.damping import relative_strength
from paretomerge.posteriors.expanded import Curvature, Expanded
from paretomerge.posteriors.product import Product
from paretomerge.posteriors.subspace import Subspace

FAMILIES = ("diagonal", "dense", "subspace")


def evidence(curvatures: Mapping[str, Curvature], relative: float, examples: int) -> float:
    """`log Z` of the merge with equal weights under the damping `relative`, up to a constant; nats.

    Args:
        curvatures: task → posterior without prior, as for `damp`.
        relative: the damping, `> 0`, dimensionless.
        examples: `N`, of all tasks together.

    Raises:
        PosteriorError: a family without a closed form, `relative` or `examples` that are not positive, or curvature
            that is zero everywhere.
    """
    if not (relative > 0 and math.isfinite(relative)):
        raise PosteriorError(f"the evidence needs a positive damping, got {relative}")
    if not examples > 0:
        raise PosteriorError(f"the evidence needs at least one example, got {examples}")
    measured = _measured(curvatures)
    strength = relative_strength(measured, relative)
    members = list(measured.values())
    total = 0.0
    for block in members[0].blocks():
        naturals = [member.natural(block) for member in members]
        total += _block_evidence(naturals, strength, _centre(measured, naturals), examples)
    return total


def choose_by_evidence(curvatures: Mapping[str, Curvature], examples: int, candidates: Sequence[float]) -> float:
    """The candidate with the largest evidence; the larger one of equals.

    Raises:
        PosteriorError: as `evidence`, or no candidate.
    """
    if not candidates:
        raise PosteriorError("no damping to choose from: give at least one candidate")
    return max(sorted(candidates, reverse=True), key=lambda relative: evidence(curvatures, relative, examples))


def _measured(curvatures: Mapping[str, Curvature]) -> dict[str, Posterior]:
    """The measured part of products; families without a closed form are refused."""
    if not curvatures:
        raise PosteriorError("no curvature to choose a damping for: give at least one task")
    measured: dict[str, Posterior] = {}
    for task, given in curvatures.items():
        part = given.parts["dense"] if isinstance(given, Product) and "dense" in given.parts else given
        if isinstance(part, Expanded) or part.family not in FAMILIES:
            raise PosteriorError(
                f"the posterior of {task!r} is of the family {part.family!r}, for which no closed form of the "
                f"evidence is known (it is for {', '.join(FAMILIES)}): choose the damping on validation data"
            )
        measured[task] = part
    return measured


def _centre(measured: Mapping[str, Posterior], naturals: Sequence[Any]) -> Tensor:
    """`a`: where the tasks' ridges pull together, the mean of their anchors or of their means."""
    if isinstance(naturals[0], Elementwise):
        return torch.stack([natural.mean.to(torch.float64) for natural in naturals]).mean(0)
    anchors = []
    for task, posterior in measured.items():
        if isinstance(posterior, Subspace):
            anchors.append(posterior.basis.anchor(task))
        else:
            mean = posterior.mean
            anchors.append(torch.cat([mean[name].to(torch.float64).reshape(-1) for name in posterior.specs]))
    return torch.stack(anchors).mean(0)


def _block_evidence(naturals: Sequence[Any], strength: Tensor, centre: Tensor, examples: int) -> float:
    """One block. Around `a` the energy of the merge is `-½ rᵀ(H̄+Λ)^-1 r` below that of `a`, with `r = η̄ - H̄ a`."""
    if isinstance(naturals[0], Elementwise):
        precision = torch.stack([n.precision.to(torch.float64).expand(n.mean.shape) for n in naturals])
        means = torch.stack([natural.mean.to(torch.float64) for natural in naturals])
        # Differences first: finetunes are close together, and far from zero.
        residual = (precision * (means - centre)).mean(0)
        total = precision.mean(0) + strength
        gain = 0.5 * float((residual.square() / total).sum())
        volume = 0.5 * float((total / strength).log().sum())
        return examples * gain - volume
    assert isinstance(naturals[0], Matrix)
    precision = torch.stack([natural.precision for natural in naturals]).mean(0)
    residual = torch.stack([natural.precision_mean for natural in naturals]).mean(0) - precision @ centre
    ridge = strength.expand(len(centre))
    factor = cholesky(precision + torch.diag(ridge), "the damped precision of the merge with equal weights")
    gain = 0.5 * float(residual @ torch.cholesky_solve(residual[:, None], factor)[:, 0])
    return examples * gain - float(factor.diagonal().log().sum()) + 0.5 * float(ridge.log().sum())
