"""Isotropic Gaussian `N(m, h^-1 I)`: merging it is weighted averaging, and task arithmetic with a prior."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from paretomerge.arithmetic import round_into
from paretomerge.errors import PosteriorError
from paretomerge.posteriors.base import Elementwise, Posterior, freeze_params, require_same_specs
from paretomerge.posteriors.elementwise import block_energy, block_log_density, sample_elementwise
from paretomerge.types import Params, TensorSpec, compute_dtype, digest_params, spec_of


@dataclass(frozen=True, eq=False)
class Isotropic:
    """`N(m, h^-1 I)`.

    Args:
        mean: the finetuned parameters `m`, in memory or read lazily. Integer tensors (counters) are carried
            along and never averaged.
        precision: `h > 0`, one number for all parameters.

    Raises:
        PosteriorError: a precision that is not positive and finite, or NaN in the mean.

    >>> posterior = Isotropic({"w": torch.tensor([1.0, 2.0])}, precision=4.0)
    >>> posterior.natural("w").precision
    tensor(4.)
    """

    mean: Params
    precision: float = 1.0

    family: ClassVar[str] = "isotropic"

    def __post_init__(self) -> None:
        """Check the precision and the mean."""
        if not (isinstance(self.precision, int | float) and math.isfinite(self.precision) and self.precision > 0):
            raise PosteriorError(f"the precision of an isotropic posterior must be positive, got {self.precision!r}")
        object.__setattr__(self, "mean", freeze_params(self.mean, "the mean"))

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Shapes and dtypes of the parameters."""
        return {name: spec_of(self.mean, name) for name in self.mean}

    def blocks(self) -> tuple[str, ...]:
        """One block per floating-point tensor."""
        return tuple(name for name, spec in self.specs.items() if spec.is_mergeable)

    def natural(self, block: str) -> Elementwise:
        """`h`, one number, and the mean."""
        mean = self.mean[block]
        return Elementwise(torch.tensor(self.precision, dtype=compute_dtype([mean.dtype]), device=mean.device), mean)

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

    def map_params(self, view: Callable[[Params], Params]) -> Isotropic:
        """A view of the mean."""
        return replace(self, mean=view(self.mean))

    def require_same_kind(self, other: Posterior) -> None:
        """Same family, names and shapes."""
        require_same_specs(self, other)

    def energy(self, params: Params) -> float:
        """`½h‖θ‖² - h mᵀθ`, summed block by block."""
        return sum(block_energy(self.natural(block), params[block]) for block in self.blocks())

    def log_density(self, params: Params) -> float:
        """`½P log(h/2π) - ½h‖θ-m‖²`."""
        return sum(block_log_density(self.natural(block), params[block]) for block in self.blocks())

    def sample(self, generator: torch.Generator) -> dict[str, Tensor]:
        """`m + h^-½ ε`."""
        return sample_elementwise(self, generator)

    @property
    def digest(self) -> str:
        """From the mean and the precision."""
        return hashlib.sha256(f"{self.family}|{self.precision!r}|{digest_params(self.mean)}".encode()).hexdigest()
