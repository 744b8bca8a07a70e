"""Which directions, besides task vectors, a merge may move in."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from paretomerge.curvature.gradients import LossGradient
from paretomerge.curvature.methods import Enrichment


def descent_directions(gradients: Mapping[str, LossGradient], kind: Enrichment) -> dict[str, dict[str, Tensor]]:
    """Plain or scaled gradients of every task (`gradient_basis` turns their sign)."""
    if kind == "scaled_gradient":
        return scaled_gradients(gradients)
    return {task: found.gradient for task, found in gradients.items()}


def scaled_gradients(gradients: Mapping[str, LossGradient], epsilon: float = 0.1) -> dict[str, dict[str, Tensor]]:
    """`g_t / (√v + ε mean(√v))` with `v` the second moment of the batch gradients, averaged over tasks.

    The direction Adam (Kingma & Ba, 2015) would step in from the centre: joint finetuning moves parameters with
    small gradients as far as those with large ones, and a plain gradient does not.
    """
    first = next(iter(gradients.values()))
    moment = {
        name: torch.stack([found.squared[name] for found in gradients.values()]).mean(0) for name in first.gradient
    }
    count = sum(tensor.numel() for tensor in moment.values())
    # Relative to the mean: where the gradient is zero in theory, its rounding noise must not become a direction.
    floor = epsilon * sum(float(tensor.sqrt().sum()) for tensor in moment.values()) / count + 1e-30
    return {
        task: {name: tensor / (moment[name].sqrt() + floor) for name, tensor in found.gradient.items()}
        for task, found in gradients.items()
    }
