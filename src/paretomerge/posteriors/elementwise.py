"""What the families with a diagonal precision share: energy, log density and sampling of one block."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.posteriors.base import Elementwise, Posterior
from paretomerge.types import compute_dtype


def block_energy(natural: Elementwise, theta: Tensor) -> float:
    """`Σ ½hθ² - hmθ`, in float64."""
    theta, mean, precision = _as_double(natural, theta)
    return float((precision * theta * (theta / 2 - mean)).sum())


def block_log_density(natural: Elementwise, theta: Tensor) -> float:
    """`Σ ½log(h/2π) - ½h(θ-m)²`, in float64; `-inf` where a precision is zero."""
    theta, mean, precision = _as_double(natural, theta)
    precision = precision.expand_as(mean)
    return float((0.5 * torch.log(precision / (2 * math.pi)) - 0.5 * precision * (theta - mean) ** 2).sum())


def sample_elementwise(posterior: Posterior, generator: torch.Generator) -> dict[str, Tensor]:
    """`m + ε/√h` for every block; tensors that are not floating-point are copied.

    Raises:
        PosteriorError: a precision is zero, so the variance is infinite.
    """
    drawn = dict(posterior.mean)
    for block in posterior.blocks():
        natural = posterior.natural(block)
        assert isinstance(natural, Elementwise)
        if not (natural.precision > 0).all():
            raise PosteriorError(f"{block!r} has zero precision somewhere: damp the posterior before sampling from it")
        dtype = compute_dtype([natural.mean.dtype, natural.precision.dtype])
        noise = torch.randn(natural.mean.shape, generator=generator, dtype=dtype)
        drawn[block] = (natural.mean + noise / natural.precision.to(dtype).sqrt()).to(posterior.specs[block].dtype)
    return drawn


def _as_double(natural: Elementwise, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return theta.to(torch.float64), natural.mean.to(torch.float64), natural.precision.to(torch.float64)
