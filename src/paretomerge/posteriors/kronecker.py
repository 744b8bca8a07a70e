"""Kronecker-factored Gaussian: one pair of eigenbases per layer, for K-FAC and for its corrected form EKFAC.

A layer with outputs `X a` (`X [O, I]` its weight, with the bias as a last column) has curvature

    H = (U_G ⊗ U_A) diag(Λ) (U_G ⊗ U_A)ᵀ,      H applied to X:   U_G (Λ ∘ (U_Gᵀ X U_A)) U_Aᵀ

K-FAC `B ⊗ G` (Martens & Grosse, 2015, Optimizing Neural Networks with Kronecker-factored Approximate Curvature) has
`Λ = λ_G λ_Aᵀ`; EKFAC (George et al., 2018, Fast Approximate Natural Gradient Descent in a Kronecker-factored
Eigenbasis) measures `Λ`. Damping adds to `Λ`, so both stay what they are.

Shapes: `O` outputs, `I` inputs (one more with a bias).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import torch
from torch import Tensor

from paretomerge.arithmetic import exact, round_into
from paretomerge.errors import PosteriorError
from paretomerge.posteriors.base import (
    Posterior,
    freeze_params,
    require_finite,
    require_nonnegative,
    require_same_specs,
    spec_mapping,
)
from paretomerge.types import Params, TensorSpec, digest_params, spec_of


@dataclass(frozen=True, eq=False)
class KroneckerFactors:
    """The curvature of one layer.

    Args:
        weight: name of the weight; its tensor, flattened to two dimensions, is `X` without the bias.
        bias: name of the bias, the last column of `X`; none when `None`.
        inputs: `U_A [I, I]`, orthogonal; the identity when `None` (embeddings, whose inputs are one-hot).
        outputs: `U_G [O, O]`, orthogonal; the identity when `None`.
        eigenvalues: `Λ [O, I]`, not negative.
        transposed: whether the weight is stored `[I, O]`, as embeddings are.

    Raises:
        PosteriorError: factors whose shapes do not fit each other, negative or not finite.
    """

    weight: str
    bias: str | None
    inputs: Tensor | None
    outputs: Tensor | None
    eigenvalues: Tensor
    transposed: bool = False

    def __post_init__(self) -> None:
        """Check shapes and values."""
        if self.eigenvalues.ndim != 2:
            raise PosteriorError(f"the eigenvalues of {self.weight!r} must be a matrix [O, I], got {self.shape}")
        rows, columns = self.shape
        for what, basis, size in (("inputs", self.inputs, columns), ("outputs", self.outputs, rows)):
            if basis is not None and tuple(basis.shape) != (size, size):
                raise PosteriorError(
                    f"the basis of the {what} of {self.weight!r} has shape {list(basis.shape)}, "
                    f"expected [{size}, {size}]"
                )
            if basis is not None:
                require_finite(basis, f"the basis of the {what} of {self.weight!r}")
        require_nonnegative(self.eigenvalues, self.weight)

    @property
    def shape(self) -> tuple[int, ...]:
        """`(O, I)`."""
        return tuple(self.eigenvalues.shape)

    @property
    def names(self) -> tuple[str, ...]:
        """Weight and bias."""
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    @exact
    def rotate(self, matrix: Tensor) -> Tensor:
        """`U_Gᵀ X U_A`, into the eigenbasis."""
        if self.outputs is not None:
            matrix = self.outputs.to(matrix.dtype).T @ matrix
        return matrix if self.inputs is None else matrix @ self.inputs.to(matrix.dtype)

    @exact
    def rotate_back(self, matrix: Tensor) -> Tensor:
        """`U_G X U_Aᵀ`, from the eigenbasis."""
        if self.outputs is not None:
            matrix = self.outputs.to(matrix.dtype) @ matrix
        return matrix if self.inputs is None else matrix @ self.inputs.to(matrix.dtype).T

    def apply(self, matrix: Tensor) -> Tensor:
        """`H X` for `X [..., O, I]`."""
        return self.rotate_back(self.eigenvalues.to(matrix.dtype) * self.rotate(matrix))

    def scaled(self, matrix: Tensor, exponent: float) -> Tensor:
        """`U_G (Λ^p ∘ X) U_Aᵀ`: with `p = ½` of standard noise a draw from `N(0, H)`, with `p = -½` from `N(0, H^-1)`.

        Raises:
            PosteriorError: a negative power of a zero eigenvalue.
        """
        if exponent < 0 and not bool((self.eigenvalues > 0).all()):
            raise PosteriorError(f"the precision of {self.weight!r} is singular: damp the posterior first")
        return self.rotate_back(self.eigenvalues.to(matrix.dtype) ** exponent * matrix)

    def gather(self, params: Params) -> Tensor:
        """Weight and bias as one matrix `[O, I]`, float64."""
        weight = params[self.weight].to(torch.float64)
        rows, columns = self.shape
        matrix = weight.T if self.transposed else weight.reshape(rows, columns - (self.bias is not None))
        if self.bias is None:
            return matrix
        return torch.cat([matrix, params[self.bias].to(torch.float64)[:, None]], dim=1)

    def scatter(self, matrix: Tensor, specs: Mapping[str, TensorSpec]) -> Iterator[tuple[str, Tensor]]:
        """The inverse of `gather` for a batch `[..., O, I]`."""
        lead = matrix.shape[:-2]
        weight = matrix if self.bias is None else matrix[..., :-1]
        weight = weight.mT if self.transposed else weight
        yield self.weight, weight.reshape(*lead, *specs[self.weight].shape)
        if self.bias is not None:
            yield self.bias, matrix[..., -1].reshape(*lead, *specs[self.bias].shape)

    def damped(self, strength: float) -> KroneckerFactors:
        """`H + λI`."""
        return replace(self, eigenvalues=self.eigenvalues + strength)


@dataclass(frozen=True, eq=False)
class Factored:
    """Natural parameters of one layer: its factors, and its mean as a matrix `[O, I]`, float64."""

    factors: KroneckerFactors
    mean: Tensor


@dataclass(frozen=True, eq=False)
class Kronecker:
    """`N(m, H^-1)` with one Kronecker-factored block per layer.

    Args:
        mean: the parameters `m` of the layers.
        factors: layer → its curvature. Every parameter of `mean` belongs to exactly one layer.

    Raises:
        PosteriorError: a parameter in no layer or in two, or of another shape than its factors.
    """

    mean: Params
    factors: Mapping[str, KroneckerFactors]

    family: ClassVar[str] = "kronecker"

    def __post_init__(self) -> None:
        """Check that layers and parameters fit."""
        mean = freeze_params(self.mean, "the mean")
        object.__setattr__(self, "mean", mean)
        if self._lazy:
            return
        object.__setattr__(self, "factors", dict(self.factors))
        seen: dict[str, str] = {}
        for layer, factors in self.factors.items():
            for name in factors.names:
                if name in seen:
                    raise PosteriorError(f"{name!r} is in the layers {seen[name]!r} and {layer!r}")
                if name not in mean:
                    raise PosteriorError(f"the layer {layer!r} needs {name!r}, which the mean does not have")
                seen[name] = layer
            _require_fitting(layer, factors, mean)
        left = [name for name in mean if name not in seen]
        if left:
            raise PosteriorError(f"{left[0]!r} is in no layer: give it to another part of a product")

    @property
    def _lazy(self) -> bool:
        """Whether factors are read from a file when they are asked for."""
        return not isinstance(self.factors, dict) and hasattr(self.factors, "reads_lazily")

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Shapes and dtypes of the parameters."""
        return spec_mapping(self.mean)

    def blocks(self) -> tuple[str, ...]:
        """The layers."""
        return tuple(self.factors)

    def natural(self, block: str) -> Factored:
        """Factors and mean of one layer."""
        factors = self.factors[block]
        if self._lazy:  # was not checked on construction
            _require_fitting(block, factors, self.mean)
        return Factored(factors, factors.gather(self.mean))

    def names(self, block: str) -> tuple[str, ...]:
        """Weight and bias of the layer."""
        names_of = getattr(self.factors, "names_of", None)  # known without reading the factors
        return self.factors[block].names if names_of is None else names_of(block)

    def expand(self, block: str, solution: Tensor, out: Mapping[str, Tensor]) -> Iterator[str]:
        """Cut `[K, O, I]` into weight and bias."""
        for name, tensor in self.factors[block].scatter(solution, self.specs):
            round_into(out[name], tensor)
            yield name

    def restrict(self, block: str, gradient: Params) -> Tensor:
        """A gradient in the coordinates of the layer."""
        return self.factors[block].gather(gradient)

    def displacement(self, block: str, step: Tensor) -> dict[str, Tensor]:
        """A step in the coordinates of the layer, as parameters."""
        return dict(self.factors[block].scatter(step, self.specs))

    def map_params(self, view: Callable[[Params], Params]) -> Kronecker:
        """Views of the mean and of every layer's factors."""
        if hasattr(self.factors, "map_params"):
            return replace(self, mean=view(self.mean), factors=self.factors.map_params(view))
        factors = {layer: _viewed(found, view) for layer, found in self.factors.items()}
        return replace(self, mean=view(self.mean), factors=factors)

    def require_same_kind(self, other: Posterior) -> None:
        """Same family, names, shapes and layers."""
        require_same_specs(self, other)
        assert isinstance(other, Kronecker)
        if {layer: self.names(layer) for layer in self.factors} != {
            layer: other.names(layer) for layer in other.factors
        }:
            raise PosteriorError("Kronecker posteriors with different layers cannot be merged: fit them on one model")

    def energy(self, params: Params) -> float:
        """`½θᵀHθ - (Hm)ᵀθ`."""
        total = 0.0
        for factors in self.factors.values():
            theta, mean = factors.rotate(factors.gather(params)), factors.rotate(factors.gather(self.mean))
            total += float((factors.eigenvalues.to(torch.float64) * theta * (theta / 2 - mean)).sum())
        return total

    def log_density(self, params: Params) -> float:
        """`Σ ½log(Λ/2π) - ½Λ ∘ (U_Gᵀ(X - M)U_A)²`; `-inf` where an eigenvalue is zero."""
        total = 0.0
        for factors in self.factors.values():
            offset = factors.rotate(factors.gather(params) - factors.gather(self.mean))
            values = factors.eigenvalues.to(torch.float64)
            total += float((0.5 * torch.log(values / (2 * math.pi)) - 0.5 * values * offset**2).sum())
        return total

    def sample(self, generator: torch.Generator) -> dict[str, Tensor]:
        """`M + U_G (Λ^-½ ∘ E) U_Aᵀ`."""
        drawn: dict[str, Tensor] = {}
        for factors in self.factors.values():
            noise = torch.randn(factors.shape, generator=generator, dtype=torch.float64)
            matrix = factors.gather(self.mean) + factors.scaled(noise, -0.5)
            drawn.update(dict(factors.scatter(matrix, self.specs)))
        return {name: drawn[name].to(spec.dtype) for name, spec in self.specs.items()}

    @property
    def digest(self) -> str:
        """From the mean and the factors."""
        parts = [f"{layer}={digest_params(_tensors(f))}|{f.transposed}" for layer, f in self.factors.items()]
        return hashlib.sha256("|".join([self.family, digest_params(self.mean), *parts]).encode()).hexdigest()


def _tensors(factors: KroneckerFactors) -> dict[str, Tensor]:
    found = {"inputs": factors.inputs, "outputs": factors.outputs, "eigenvalues": factors.eigenvalues}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def _viewed(factors: KroneckerFactors, view: Callable[[Params], Params]) -> KroneckerFactors:
    seen = view(_tensors(factors))
    return replace(factors, **{name: seen[name] for name in seen})  # type: ignore[arg-type]


def _require_fitting(layer: str, factors: KroneckerFactors, mean: Params) -> None:
    rows, columns = factors.shape
    shape = spec_of(mean, factors.weight).shape
    inner = columns - (factors.bias is not None)
    expected = (inner, rows) if factors.transposed else (rows, inner)
    found = tuple(shape) if factors.transposed else (prod(shape[:1]), prod(shape[1:]))
    if found != expected or (factors.bias is not None and spec_of(mean, factors.bias).shape != (rows,)):
        raise PosteriorError(
            f"the factors of the layer {layer!r} are {rows} × {columns}, which does not fit {factors.weight!r} of "
            f"shape {list(shape)}: they were measured on another model"
        )
