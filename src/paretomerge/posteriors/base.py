"""What every posterior is: a Gaussian in natural parameters, cut into blocks that are solved one by one.

A Gaussian `N(m, H^-1)` has the natural parameters `H` (precision) and `H m`. Merging adds them, so they come
first here, and the mean is derived: centred curvature is often singular, its mean undefined, its merge fine.

A block's natural parameters are of one of four kinds, and a merge adds two of a kind:

    elementwise   H is diagonal: precision and mean have the shape of a tensor (or precision is one number)
    matrix        H is a matrix [D, D] over D coordinates, precision × mean a vector [D]
    factored      H is diagonal in a Kronecker product of two bases: one layer (`kronecker.py`)
    low rank      H is diagonal plus R outer products, over the whole model (`low_rank.py`)

Shapes: `T` tasks, `K` weightings, `D` coordinates of a block, `P` parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from paretomerge.arithmetic import extremes
from paretomerge.errors import PosteriorError
from paretomerge.posteriors.lending import Lending
from paretomerge.types import Layout, Params, TensorSpec, spec_of


@dataclass(frozen=True, eq=False)
class Elementwise:
    """Natural parameters of a block with diagonal precision.

    The mean is kept beside the precision, so that where no task has any precision a merge can fall back to
    the weighted average of the means.
    """

    precision: Tensor
    mean: Tensor


@dataclass(frozen=True, eq=False)
class Matrix:
    """Natural parameters of a block with full precision: `[D, D]` and `[D]`, and what a merge corrects for weights."""

    precision: Tensor
    precision_mean: Tensor
    lent: Lending | None = None


@runtime_checkable
class Posterior(Protocol):
    """A Gaussian over parameters.

    Laws (tested for every family): expanding the mean of every block gives `mean`; the gradient of
    `energy` vanishes at `mean`; `energy` of independent blocks adds; `sample` has mean `mean` and covariance
    the inverse precision.
    """

    family: ClassVar[str]

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Shapes and dtypes of the parameters it is a distribution over."""
        ...

    @property
    def mean(self) -> Params:
        """The mean, as parameters; raises `PosteriorError` where the precision is singular."""
        ...

    def blocks(self) -> tuple[str, ...]:
        """Names of the independent blocks."""
        ...

    def natural(self, block: str) -> Any:
        """Natural parameters of one block: `Elementwise`, `Matrix`, or a kind of the family's own."""
        ...

    def names(self, block: str) -> tuple[str, ...]:
        """The tensors that a block covers; one where it is elementwise."""
        ...

    def expand(self, block: str, solution: Tensor, out: Mapping[str, Tensor]) -> Iterator[str]:
        """Turn solutions `[K, …]` in a block's coordinates into tensors: overwrites `out[name] [K, *shape]`.

        Tensor by tensor: each name is given back when its tensor is complete, and `out` may use the same memory for
        the next one.
        """
        ...

    def restrict(self, block: str, gradient: Params) -> Any:
        """A gradient with respect to the parameters in a block's coordinates, float64: the chain rule of `expand`."""
        ...

    def displacement(self, block: str, step: Any) -> dict[str, Tensor]:
        """A step in a block's coordinates as one of the parameters, float64; tensors that stay are left out."""
        ...

    def map_params(self, view: Callable[[Params], Params]) -> Posterior:
        """The same posterior with every large set of tensors it holds replaced by `view` of it."""
        ...

    def require_same_kind(self, other: Posterior) -> None:
        """Raise `PosteriorError` unless the natural parameters of `other` can be added to this one's."""
        ...

    def energy(self, params: Params) -> float:
        """`½ θᵀHθ - (Hm)ᵀθ`, the negative log density up to a constant."""
        ...

    def log_density(self, params: Params) -> float:
        """`log N(θ; m, H^-1)`, with respect to the coordinates of the family."""
        ...

    def sample(self, generator: torch.Generator) -> dict[str, Tensor]:
        """One draw of parameters."""
        ...

    @property
    def digest(self) -> str:
        """Equal digests mean equal posteriors; names cached results."""
        ...


def require_same_specs(one: Posterior, other: Posterior) -> None:
    """Raise `PosteriorError` unless both are of one family and over the same names and shapes."""
    if type(one) is not type(other):
        raise PosteriorError(
            f"posteriors of different families cannot be merged: {one.family} and {other.family}. "
            "Fit all tasks and the prior with the same method"
        )
    shapes = [{name: spec.shape for name, spec in posterior.specs.items()} for posterior in (one, other)]
    if shapes[0] != shapes[1]:
        differing = sorted(set(shapes[0].items()) ^ set(shapes[1].items()))
        raise PosteriorError(
            f"posteriors are over different parameters, first difference at {differing[0][0]!r}: "
            "they were fitted on different models"
        )


def require_finite(tensor: Tensor, what: str) -> Tensor:
    """Return `tensor`, or raise `PosteriorError` if it has NaN or infinite entries."""
    if not torch.isfinite(extremes(tensor)).all():
        count = int((~torch.isfinite(tensor)).sum())
        raise PosteriorError(
            f"{what} has {count} NaN or infinite entries: the finetune diverged, or curvature overflowed "
            "(compute it in float32)"
        )
    return tensor


def where_from(params: Params) -> str:
    """` in FILE` for parameters that are read from a file, else nothing: what a message adds to a tensor's name."""
    source = getattr(params, "source", None)
    return f" in {source}" if source is not None else ""


def require_nonnegative(precision: Tensor, block: str, where: str = "") -> Tensor:
    """Return `precision`, or raise `PosteriorError` where it is negative or not finite; `where` tells its file."""
    low, high = extremes(precision)
    if bool((low >= 0) & torch.isfinite(high)):
        return precision
    require_finite(precision, f"the precision of {block!r}{where}")
    if bool((precision < 0).any()):
        raise PosteriorError(
            f"the precision of {block!r}{where} is negative (lowest {float(precision.min()):.3g}): a Hessian that is "
            "not positive semi-definite is no precision; use a Fisher or Gauss-Newton matrix"
        )
    return precision


def require_symmetric(matrix: Tensor, size: int, what: str) -> Tensor:
    """Return `matrix` in float64, or raise `PosteriorError` if it is not symmetric `[size, size]`."""
    if tuple(matrix.shape) != (size, size):
        raise PosteriorError(f"{what} has shape {list(matrix.shape)}, expected [{size}, {size}]")
    matrix = require_finite(matrix, what).to(torch.float64)
    asymmetry = float((matrix - matrix.T).abs().max()) if size else 0.0
    scale = float(matrix.abs().max()) if size else 0.0
    if asymmetry > 1e-6 * scale:
        raise PosteriorError(f"{what} is not symmetric: it differs from its transpose by {asymmetry:.3g}")
    return (matrix + matrix.T) / 2


def cholesky(precision: Tensor, what: str) -> Tensor:
    """The lower Cholesky factor of `[..., D, D]`; `PosteriorError` where it is not positive definite."""
    factor, failed = torch.linalg.cholesky_ex(precision)
    # A singular H often passes with pivots of rounding size. L Lᵀ differs from it by D·eps·|H| at most, so its
    # smallest eigenvalue is no larger than that, and tr (L Lᵀ)^-1 = |L^-1|² no smaller than the reciprocal (Weyl).
    identity = torch.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    inverse = torch.linalg.solve_triangular(factor, identity.expand_as(precision), upper=False)
    largest = precision.diagonal(dim1=-2, dim2=-1).amax(-1)
    resolution = precision.shape[-1] * torch.finfo(precision.dtype).eps
    solid = inverse.square().sum((-2, -1)) * largest * resolution < 1
    if bool((failed.to(torch.bool) | ~solid).any()):
        raise PosteriorError(
            f"{what} is not positive definite: some direction has no curvature in any task with positive weight. "
            "Add a ridge (damping), or give a prior with positive precision"
        )
    return factor


def spec_mapping(params: Params) -> dict[str, TensorSpec]:
    """Shapes and dtypes of every tensor of `params`."""
    return {name: spec_of(params, name) for name in params}


def freeze_params(params: Params, what: str) -> Params:
    """`params` as they are when they read lazily, else a checked copy of the mapping (tensors are shared)."""
    if hasattr(params, "spec"):
        return params
    if not params:
        raise PosteriorError(f"{what} has no tensors")
    for name, tensor in params.items():
        if tensor.is_floating_point():
            require_finite(tensor, f"{what} {name!r}")
    return dict(params)


def flatten_double(layout: Layout, params: Params) -> Tensor:
    """`params` as one float64 vector `[P]`."""
    return layout.flatten(params).detach().to(torch.float64)
