"""Diagonal Gaussian `N(m, diag(h)^-1)`: merging it is Fisher- or Hessian-weighted averaging, elementwise.

Matena & Raffel, 2022, Merging Models with Fisher-Weighted Averaging; Daheim et al., 2024, Model Merging by
Uncertainty-Based Gradient Matching.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from paretomerge.arithmetic import round_into
from paretomerge.errors import PosteriorError
from paretomerge.posteriors.base import (
    Elementwise,
    Posterior,
    freeze_params,
    require_nonnegative,
    require_same_specs,
    where_from,
)
from paretomerge.posteriors.elementwise import block_energy, block_log_density, sample_elementwise
from paretomerge.types import Params, TensorSpec, digest_params, spec_of


@dataclass(frozen=True, eq=False)
class Diagonal:
    """`N(m, diag(h)^-1)`.

    Args:
        mean: the finetuned parameters `m`.
        precision: `h >= 0`, one tensor per floating-point tensor of `mean`, of the same shape.

    Raises:
        PosteriorError: a precision is missing, of another shape, negative, NaN or infinite.
    """

    mean: Params
    precision: Params

    family: ClassVar[str] = "diagonal"

    def __post_init__(self) -> None:
        """Check shapes and signs."""
        object.__setattr__(self, "mean", freeze_params(self.mean, "the mean"))
        for block in self.blocks():
            if block not in self.precision:
                raise PosteriorError(f"no precision for {block!r}: give one tensor for each tensor of the mean")
            shapes = spec_of(self.mean, block).shape, spec_of(self.precision, block).shape
            if shapes[0] != shapes[1]:
                raise PosteriorError(f"{block!r} has mean of shape {shapes[0]} but precision of shape {shapes[1]}")
            if self._checked:
                require_nonnegative(self.precision[block], block)
        if self._checked:
            object.__setattr__(self, "precision", dict(self.precision))

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Shapes and dtypes of the parameters."""
        return {name: spec_of(self.mean, name) for name in self.mean}

    def blocks(self) -> tuple[str, ...]:
        """One block per floating-point tensor."""
        return tuple(name for name, spec in self.specs.items() if spec.is_mergeable)

    def natural(self, block: str) -> Elementwise:
        """Precision and mean of one tensor."""
        precision = self.precision[block]
        # what reads lazily was not checked on construction
        if not self._checked:
            require_nonnegative(precision, block, where_from(self.precision))
        return Elementwise(precision, self.mean[block])

    def names(self, block: str) -> tuple[str, ...]:
        """The block is a tensor."""
        return (block,)

    def expand(self, block: str, solution: Tensor, out: Mapping[str, Tensor]) -> Iterator[str]:
        """The solution is the tensor already."""
        round_into(out[block], solution)
        yield block

    def restrict(self, block: str, gradient: Params) -> Tensor:
        """The gradient of one tensor."""
        return gradient[block].to(torch.float64)

    def displacement(self, block: str, step: Tensor) -> dict[str, Tensor]:
        """The step of one tensor."""
        return {block: step}

    def map_params(self, view: Callable[[Params], Params]) -> Diagonal:
        """Views of the mean and the precision."""
        return replace(self, mean=view(self.mean), precision=view(self.precision))

    @property
    def _checked(self) -> bool:
        return not hasattr(self.precision, "spec")

    def require_same_kind(self, other: Posterior) -> None:
        """Same family, names and shapes."""
        require_same_specs(self, other)

    def energy(self, params: Params) -> float:
        """`½θᵀdiag(h)θ - (h∘m)ᵀθ`."""
        return sum(block_energy(self.natural(block), params[block]) for block in self.blocks())

    def log_density(self, params: Params) -> float:
        """`Σ ½log(h/2π) - ½h(θ-m)²`."""
        return sum(block_log_density(self.natural(block), params[block]) for block in self.blocks())

    def sample(self, generator: torch.Generator) -> dict[str, Tensor]:
        """`m + ε/√h`, elementwise."""
        return sample_elementwise(self, generator)

    @property
    def digest(self) -> str:
        """From the mean and the precision."""
        parts = f"{self.family}|{digest_params(self.mean)}|{digest_params(self.precision)}"
        return hashlib.sha256(parts.encode()).hexdigest()
