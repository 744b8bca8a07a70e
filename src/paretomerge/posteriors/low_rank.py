"""Low rank plus diagonal: `N(m, H^-1)` with `H = diag(d) + Σ_r u_r u_rᵀ`, over the whole model at once.

The factors are, for example, the leading eigenvectors of a Gauss-Newton matrix, scaled by the roots of their
eigenvalues. Merging adds both parts: a sum over tasks has rank `T·R`, and is inverted by Woodbury's formula.

Shapes: `R` factors, `T` tasks, `P` parameters.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from paretomerge.arithmetic import round_into
from paretomerge.errors import PosteriorError
from paretomerge.posteriors.base import (
    Posterior,
    cholesky,
    freeze_params,
    require_finite,
    require_nonnegative,
    require_same_specs,
    where_from,
)
from paretomerge.types import Params, TensorSpec, digest_params, spec_of


@dataclass(frozen=True, eq=False)
class LowRank:
    """`N(m, H^-1)`, `H = diag(d) + Σ_r u_r u_rᵀ`.

    Args:
        mean: the parameters `m`.
        diagonal: `d >= 0`, one tensor per floating-point tensor of `mean`, of the same shape.
        factors: `u`, per tensor `[R, *shape]`.

    Raises:
        PosteriorError: a tensor without diagonal or factors, of another shape, of another rank than the first,
            negative or not finite.
    """

    mean: Params
    diagonal: Params
    factors: Params

    family: ClassVar[str] = "low_rank"

    def __post_init__(self) -> None:
        """Check shapes and signs."""
        object.__setattr__(self, "mean", freeze_params(self.mean, "the mean"))
        rank = self.rank
        for name in self.names():
            shape = spec_of(self.mean, name).shape
            for what, params, expected in (
                ("diagonal", self.diagonal, shape),
                ("factor", self.factors, (rank, *shape)),
            ):
                if name not in params:
                    raise PosteriorError(f"no {what} for {name!r}: give one tensor for each tensor of the mean")
                found = tuple(spec_of(params, name).shape)
                if found != tuple(expected):
                    raise PosteriorError(f"the {what} of {name!r} has shape {list(found)}, expected {list(expected)}")
            if not self._lazy:
                self.read(name)

    @property
    def _lazy(self) -> bool:
        return hasattr(self.diagonal, "spec")

    @cached_property
    def rank(self) -> int:
        """`R`."""
        first = next(iter(self.names()), None)
        if first is None:
            raise PosteriorError("the mean has no floating-point tensor")
        if first not in self.factors:
            raise PosteriorError(f"no factor for {first!r}: give one tensor for each tensor of the mean")
        return int(spec_of(self.factors, first).shape[0])

    def read(self, name: str) -> tuple[Tensor, Tensor, Tensor]:
        """Mean `[n]`, diagonal `[n]` and factors `[R, n]` of one tensor, float64."""
        diagonal = require_nonnegative(self.diagonal[name], name, where_from(self.diagonal))
        factors = require_finite(self.factors[name], f"the factors of {name!r}{where_from(self.factors)}")
        return (
            self.mean[name].reshape(-1).to(torch.float64),
            diagonal.reshape(-1).to(torch.float64),
            factors.reshape(self.rank, diagonal.numel()).to(torch.float64),
        )

    @cached_property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Shapes and dtypes of the parameters."""
        return {name: spec_of(self.mean, name) for name in self.mean}

    def blocks(self) -> tuple[str, ...]:
        """One block: the factors couple all tensors."""
        return ("all",)

    def natural(self, block: str = "all") -> LowRank:
        """The posterior itself: its parts are read tensor by tensor."""
        return self

    def names(self, block: str = "all") -> tuple[str, ...]:
        """All floating-point tensors."""
        return tuple(name for name, spec in self.specs.items() if spec.is_mergeable)

    def expand(self, block: str, solution: Tensor, out: Mapping[str, Tensor]) -> Iterator[str]:
        """Cut `[K, P]` into tensors."""
        start = 0
        for name in self.names():
            size, target = math.prod(self.specs[name].shape), out[name]
            round_into(target, solution[:, start : start + size].reshape(target.shape))
            start += size
            yield name

    def restrict(self, block: str, gradient: Params) -> dict[str, Tensor]:
        """A gradient, tensor by tensor, as it is."""
        return {name: gradient[name].reshape(-1).to(torch.float64) for name in self.names()}

    def displacement(self, block: str, step: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A step, tensor by tensor, in its shape."""
        return {name: tensor.reshape(self.specs[name].shape) for name, tensor in step.items()}

    def map_params(self, view: Callable[[Params], Params]) -> LowRank:
        """Views of the mean, the diagonal and the factors."""
        return replace(self, mean=view(self.mean), diagonal=view(self.diagonal), factors=view(self.factors))

    def require_same_kind(self, other: Posterior) -> None:
        """Same family, names and shapes; ranks may differ."""
        require_same_specs(self, other)

    def energy(self, params: Params) -> float:
        """`½θᵀHθ - (Hm)ᵀθ`."""
        plain, along = 0.0, torch.zeros(2, self.rank, dtype=torch.float64)
        for name in self.names():
            mean, diagonal, factors = self.read(name)
            theta = params[name].reshape(-1).to(torch.float64)
            plain += float((diagonal * theta * (theta / 2 - mean)).sum())
            along += torch.stack([factors @ theta, factors @ mean])
        return plain + float(along[0] @ (along[0] / 2 - along[1]))

    def log_density(self, params: Params) -> float:
        """`½log det(H/2π) - ½‖θ-m‖²_H`, with `det H = det(D) det(I + UᵀD^-1U)`; `-inf` where `d` is zero."""
        plain, along = 0.0, torch.zeros(self.rank, dtype=torch.float64)
        coupling = torch.eye(self.rank, dtype=torch.float64)
        for name in self.names():
            mean, diagonal, factors = self.read(name)
            offset = params[name].reshape(-1).to(torch.float64) - mean
            plain += float((0.5 * torch.log(diagonal / (2 * math.pi)) - 0.5 * diagonal * offset**2).sum())
            along += factors @ offset
            coupling += (factors / diagonal) @ factors.T
        if not math.isfinite(plain):
            return -math.inf
        factor = cholesky(coupling, "the coupling of the factors")
        return plain + float(factor.diagonal().log().sum()) - 0.5 * float(along @ along)

    def root(self, generator: torch.Generator) -> dict[str, Tensor]:
        """A draw from `N(0, H)`: `√d ∘ ε + Uᵀη`."""
        shared = torch.randn(self.rank, generator=generator, dtype=torch.float64)
        drawn = {}
        for name in self.names():
            _, diagonal, factors = self.read(name)
            noise = torch.randn(len(diagonal), generator=generator, dtype=torch.float64)
            drawn[name] = diagonal.sqrt() * noise + shared @ factors
        return drawn

    def apply(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`H x`, tensor by tensor, `[n]` each."""
        along = torch.zeros(self.rank, dtype=torch.float64)
        for name in self.names():
            along += self.read(name)[2] @ x[name]
        return {name: self.read(name)[1] * x[name] + along @ self.read(name)[2] for name in self.names()}

    def solve(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`H^-1 x` by Woodbury's formula, tensor by tensor, `[n]` each.

        Raises:
            PosteriorError: a diagonal that is zero somewhere.
        """
        coupling, along = torch.eye(self.rank, dtype=torch.float64), torch.zeros(self.rank, dtype=torch.float64)
        for name in self.names():
            _, diagonal, factors = self.read(name)
            if not bool((diagonal > 0).all()):
                raise PosteriorError(f"{name!r} has a zero diagonal somewhere: damp the posterior first")
            coupling += (factors / diagonal) @ factors.T
            along += factors @ (x[name] / diagonal)
        pull = torch.cholesky_solve(along[:, None], cholesky(coupling, "the coupling of the factors"))[:, 0]
        return {name: (x[name] - pull @ self.read(name)[2]) / self.read(name)[1] for name in self.names()}

    def sample(self, generator: torch.Generator) -> dict[str, Tensor]:
        """`m + H^-1 ξ` with `ξ ~ N(0, H)`: its covariance is `H^-1 H H^-1 = H^-1`."""
        drawn = dict(self.mean)
        for name, step in self.solve(self.root(generator)).items():
            moved = self.mean[name].to(torch.float64) + step.reshape(self.specs[name].shape)
            drawn[name] = moved.to(self.specs[name].dtype)
        return drawn

    @property
    def digest(self) -> str:
        """From the mean, the diagonal and the factors."""
        parts = "|".join(digest_params(params) for params in (self.mean, self.diagonal, self.factors))
        return hashlib.sha256(f"{self.family}|{parts}".encode()).hexdigest()
