"""Derivatives of every example by itself: vectorised where the model allows it, one by one where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def per_example(gradient_of_one: Any) -> Any:
    """Gradients of all examples of a part, `[B, *shape]`: vectorised, or one by one for models that cannot be.

    Models that look at their inputs (such as an attention mask: is any token padded?) cannot be vectorised.
    """
    vectorised = torch.func.vmap(gradient_of_one, in_dims=(None, 0, 0), randomness="different")

    def gradients(leaves: dict[str, Tensor], inputs: Any, targets: Tensor) -> dict[str, Tensor]:
        try:
            return vectorised(leaves, inputs, targets)
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
        each = [
            gradient_of_one(leaves, map_inputs(inputs, lambda value, b=b: value[b]), targets[b])
            for b in range(len(targets))
        ]
        return {name: torch.stack([found[name] for found in each]) for name in leaves}

    return gradients


def map_inputs(inputs: Any, change: Any) -> Any:
    """Change every tensor of a model's inputs."""
    if isinstance(inputs, Mapping):
        return {name: change(value) for name, value in inputs.items()}
    return change(inputs)
