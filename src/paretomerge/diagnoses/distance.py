"""A merged model far from every finetune, in the metric of the posteriors.

    D_t(θ) = ½ (θ - θ_t)ᵀ H_t (θ - θ_t)

in nats: how much of task `t`'s loss the move from its finetune `θ_t` costs, as its curvature `H_t` sees it. It is held
against what the loss can lose, the stake: the loss of a model that has learnt nothing (the base, or a constant guess)
minus that of the finetune. Beyond its stake a quadratic says that merging costs more than there is to lose: the loss
is no longer what it was expanded as, and neither the merge nor its predicted loss means anything.

A small distance is no proof: curvature at a finetune is nearly flat, and sees everything as near.

Shapes: `K` merged models, `T` tasks, `D` coordinates of the points.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from paretomerge.diagnoses.diagnosis import Diagnosis
from paretomerge.posteriors import Expanded, Isotropic, Mixture, PredictedLoss, Subspace, precision_product
from paretomerge.types import LikelihoodName, Params

FAR = 1.0
"""In stakes. On digits the default's merges stay below it (0.5 to 1.0), and fail where they exceed it."""


def posterior_distance(loss: PredictedLoss, finetune: Params, merged: Params) -> float | None:
    """`½ (θ - θ_t)ᵀ H (θ - θ_t)` in the loss's own curvature, nats; `None` for curvature that has no unit (isotropic)
    or no single metric (mixtures).

    Raises:
        PosteriorError: parameters that lie outside a subspace posterior's subspace.
    """
    curvature = loss.curvature.curvature if isinstance(loss.curvature, Expanded) else loss.curvature
    if isinstance(curvature, Isotropic | Mixture):
        return None
    if isinstance(curvature, Subspace):
        offset = curvature.project(merged) - curvature.project(finetune)
        return float(offset @ curvature.precision @ offset) / 2
    moved = {
        name: merged[name].to(torch.float64) - finetune[name].to(torch.float64)
        for name, spec in curvature.specs.items()
        if spec.is_mergeable
    }
    image = precision_product(curvature, moved)
    return sum(float((image[name] * moved[name]).sum()) for name in image) / 2


def constant_guess(targets: Iterable[Tensor], likelihood: LikelihoodName = "categorical") -> float:
    """The mean loss, nats, of the best model that does not look at its inputs.

    The entropy of the labels' frequencies, of labelled positions for token models; half the variance for `"gaussian"`.

    >>> round(constant_guess([torch.tensor([0, 1]), torch.tensor([0, 1])]), 6)
    0.693147
    """
    if likelihood == "gaussian":
        rows = torch.cat([part.to(torch.float64).reshape(len(part), -1) for part in targets])
        return float((rows - rows.mean(0)).square().sum(1).mean()) / 2
    counts = torch.zeros(0, dtype=torch.float64)
    for part in targets:
        labels = part.reshape(-1)
        found = torch.bincount(labels[labels >= 0].to(torch.int64)).to(torch.float64)
        size = max(len(counts), len(found))
        counts = _padded(counts, size) + _padded(found, size)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * shares.log()).sum()) + 0.0


def far_from_finetunes(
    tasks: Sequence[str], points: np.ndarray, distances: np.ndarray, stakes: Sequence[float]
) -> tuple[Diagnosis, ...]:
    """One warning when merged models are farther from every finetune than the losses can lose.

    Args:
        tasks: `[T]`.
        points: `[K, D]`, where the models are, for the message.
        distances: `D_t [K, T]`, nats.
        stakes: `[T]`, nats: what each loss can lose. Tasks without a positive stake have learnt nothing and are left
            out.
    """
    at_stake = np.asarray(stakes, dtype=np.float64)
    learnt = at_stake > 0
    if not len(distances) or not learnt.any():
        return ()
    ratios = (np.asarray(distances, dtype=np.float64)[:, learnt] / at_stake[learnt]).min(axis=1)
    far = ratios > FAR
    if not far.any():
        return ()
    worst = int(np.argmax(ratios))
    evidence = {"ratio": float(ratios[worst]), "median_ratio": float(np.median(ratios)), "far": float(far.mean())}
    at = ", ".join(f"{value:.2f}" for value in np.asarray(points)[worst])
    message = (
        f"{int(far.sum())} of {len(ratios)} merged models are so far from every finetune that by the posteriors' own "
        f"curvature they lose more than the tasks have learnt (the one at ({at}) {ratios[worst]:.3g} times as much)"
    )
    remedy = (
        "a more flexible posterior (posterior.family: subspace) where it is another one, and the damping by validation "
        "(posterior.damping: validation); else a few joint steps from the merge (finetune --start merged), or "
        "finetunes of smaller or fewer steps"
    )
    return (Diagnosis("distance", "warning", message, remedy, evidence, tuple(tasks)),)


def _padded(counts: Tensor, size: int) -> Tensor:
    return torch.nn.functional.pad(counts, (0, size - len(counts)))
