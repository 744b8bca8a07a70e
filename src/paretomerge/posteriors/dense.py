"""Full Gaussian `N(m, H^-1)` with a dense precision: small models, heads, and the tests' oracle."""

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
from paretomerge.posteriors.base import (
    Matrix,
    Posterior,
    cholesky,
    flatten_double,
    freeze_params,
    require_same_specs,
    require_symmetric,
    spec_mapping,
)
from paretomerge.types import Layout, Params, TensorSpec, digest_params


@dataclass(frozen=True, eq=False)
class Dense:
    """`N(m, H^-1)`.

    Args:
        mean: parameters `m`, all floating-point.
        precision: `H [P, P]`, symmetric positive semi-definite; parameters are concatenated in the order
            of `mean`. Kept and solved in float64.

    Raises:
        PosteriorError: `H` of another shape, not symmetric, or not finite. A singular `H` is accepted here and
            refused by the merge if the sum is singular too.
    """

    mean: Params
    precision: Tensor

    family: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        """Check the precision."""
        mean = freeze_params(self.mean, "the mean")
        object.__setattr__(self, "mean", mean)
        size = Layout.of(mean).size
        object.__setattr__(self, "precision", require_symmetric(self.precision, size, "the precision"))

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Shapes and dtypes of the parameters."""
        return spec_mapping(self.mean)

    @property
    def layout(self) -> Layout:
        """How the parameters are concatenated."""
        return Layout.of(self.mean)

    def blocks(self) -> tuple[str, ...]:
        """One block: all parameters are coupled."""
        return ("all",)

    def natural(self, block: str = "all") -> Matrix:
        """`H` and `Hm`, float64."""
        return Matrix(self.precision, self.precision @ flatten_double(self.layout, self.mean))

    def names(self, block: str = "all") -> tuple[str, ...]:
        """All tensors."""
        return tuple(self.layout.shapes)

    def expand(self, block: str, solution: Tensor, out: Mapping[str, Tensor]) -> Iterator[str]:
        """Cut `[K, P]` into tensors."""
        for name, tensor in self.layout.unflatten(solution).items():
            round_into(out[name], tensor)
            yield name

    def restrict(self, block: str, gradient: Params) -> Tensor:
        """The gradient as one vector `[P]`."""
        return flatten_double(self.layout, gradient)

    def displacement(self, block: str, step: Tensor) -> dict[str, Tensor]:
        """A step `[P]`, cut into tensors."""
        return self.layout.unflatten(step)

    def map_params(self, view: Callable[[Params], Params]) -> Dense:
        """A view of the mean."""
        return replace(self, mean=view(self.mean))

    def require_same_kind(self, other: Posterior) -> None:
        """Same family, names, shapes and order: the order says which row of the precision is which parameter."""
        require_same_specs(self, other)
        if list(self.specs) != list(other.specs):
            raise PosteriorError(
                "dense posteriors list their parameters in different orders, so the rows of their precisions mean "
                "different parameters: build them with the same order of names"
            )

    def energy(self, params: Params) -> float:
        """`½θᵀHθ - (Hm)ᵀθ`."""
        theta, natural = flatten_double(self.layout, params), self.natural()
        return float(theta @ (natural.precision @ theta) / 2 - natural.precision_mean @ theta)

    def log_density(self, params: Params) -> float:
        """`½log det(H/2π) - ½‖θ-m‖²_H`."""
        factor = cholesky(self.precision, "the precision")
        offset = flatten_double(self.layout, params) - flatten_double(self.layout, self.mean)
        normaliser = factor.diagonal().log().sum() - 0.5 * len(offset) * math.log(2 * math.pi)
        return float(normaliser - 0.5 * offset @ (self.precision @ offset))

    def sample(self, generator: torch.Generator) -> dict[str, Tensor]:
        """`m + L^-ᵀ ε` with `H = L Lᵀ`."""
        factor = cholesky(self.precision, "the precision")
        noise = torch.randn(len(factor), 1, generator=generator, dtype=torch.float64)
        offset = torch.linalg.solve_triangular(factor.T, noise, upper=True)[:, 0]
        drawn = self.layout.unflatten(flatten_double(self.layout, self.mean) + offset)
        return {name: tensor.to(self.mean[name].dtype) for name, tensor in drawn.items()}

    @property
    def digest(self) -> str:
        """From the mean and the precision."""
        parts = f"{self.family}|{digest_params(self.mean)}|{digest_params({'precision': self.precision})}"
        return hashlib.sha256(parts.encode()).hexdigest()
