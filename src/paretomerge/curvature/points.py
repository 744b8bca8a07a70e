"""Where curvature is taken: at a finetune, where merges land, on the way, or under a task's own posterior."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from paretomerge.posteriors import Posterior, damp
from paretomerge.types import Params, spec_of


def average(finetunes: Mapping[str, Params]) -> dict[str, Tensor]:
    """The uniform average of the finetunes; tensors that are not floating-point come from the first."""
    first = next(iter(finetunes.values()))
    merged = {}
    for name in first:
        if spec_of(first, name).is_mergeable:
            stacked = torch.stack([finetune[name] for finetune in finetunes.values()])
            merged[name] = stacked.to(torch.float64).mean(0).to(stacked.dtype)
        else:
            merged[name] = first[name]
    return merged


def curvature_points(finetune: Params, centre: Params, location: str) -> list[Params]:
    """Where curvature is taken first: at the finetune, at the average, or at three points from one to the other.

    For `"posterior"` that is the finetune: `posterior_points` follow from the curvature there.
    """
    fractions = {"average": (1.0,), "centred": (1.0,), "segment": (0.0, 0.5, 1.0)}.get(location, (0.0,))
    return [
        {
            name: torch.lerp(value, centre[name], fraction) if value.is_floating_point() else value
            for name, value in finetune.items()
        }
        for fraction in fractions
    ]


def posterior_points(
    finetune: Params, curvature: Posterior, damping: float, examples: int, samples: int, generator: torch.Generator
) -> list[Params]:
    """`samples` draws from `N(m, (N (H + λ))^-1)`, the posterior of a task with `N` examples.

    Args:
        finetune: `m`, all parameters; those without curvature stay as they are.
        curvature: `H`, of one average example.
        damping: relative, as for merging.
        examples: `N`.
        samples: how many.
        generator: the randomness.

    Raises:
        PosteriorError: the damped precision is singular.
    """
    damped = damp({"task": curvature}, damping)["task"]
    return [
        {
            # A draw of N(m, (H + λ)^-1), moved towards its mean.
            **finetune,
            **{
                name: torch.lerp(finetune[name], drawn, examples**-0.5)
                for name, drawn in damped.sample(generator).items()
            },
        }
        for _ in range(samples)
    ]
