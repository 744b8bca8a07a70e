"""Which directions, besides task vectors, a merge may move in."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from paretomerge.curvature.gradients import LossGradient


def scaled_gradients(gradients: Mapping[str, LossGradient], epsilon: float = 1e-8) -> dict[str, dict[str, Tensor]]:
    """`g_t / (√v + ε)` with `v` the second moment of the batch gradients, averaged over tasks.

    The direction Adam (Kingma & Ba, 2015) would step in from the centre: joint finetuning moves parameters with
    small gradients as far as those with large ones, and a plain gradient does not.
    """
    first = next(iter(gradients.values()))
    moment = {
        name: torch.stack([found.squared[name] for found in gradients.values()]).mean(0) for name in first.gradient
    }
    return {
        task: {name: tensor / (moment[name].sqrt() + epsilon) for name, tensor in found.gradient.items()}
        for task, found in gradients.items()
    }
