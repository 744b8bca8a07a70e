"""Full Gaussian over the coordinates of a subspace: `θ = origin + Σ_d c_d v_d`, `c ~ N(A^-1 η, A^-1)`.

With task vectors as directions this is full-Gaussian posterior merging inside their span *and* the quadratic
surrogate of MAP (arXiv 2406.07529) fitted on losses: the two papers meet here.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.posteriors.base import (
    Matrix,
    Posterior,
    cholesky,
    freeze_params,
    require_finite,
    require_same_specs,
    require_symmetric,
    spec_mapping,
)
from paretomerge.posteriors.basis import Basis
from paretomerge.posteriors.lending import Lending
from paretomerge.types import Layout, Params, TensorSpec, digest_params


@dataclass(frozen=True, eq=False, init=False)
class Subspace:
    """A Gaussian over `c [D]` in natural parameters, since centred curvature is often singular.

    Args:
        origin: `θ` at `c = 0`, usually the base model.
        basis: a `Basis`, a sequence of (partial) `Params`, or a matrix `[P, D]` with directions as columns.
        precision: `A [D, D]`, symmetric positive semi-definite, float64.
        precision_mean: `η = A·mean [D]`.
        lent: the part of the precision that is a ridge on the task's own coordinates (`with_ridge`).

    Raises:
        PosteriorError: shapes that disagree, or entries that are not finite.
    """

    origin: Params
    basis: Basis
    precision: Tensor
    precision_mean: Tensor
    lent: Lending | None

    family: ClassVar[str] = "subspace"

    def __init__(
        self,
        origin: Params,
        basis: Basis | Sequence[Params] | Tensor,
        precision: Tensor,
        precision_mean: Tensor,
        lent: Lending | None = None,
    ) -> None:
        """Check and freeze."""
        origin = freeze_params(origin, "the origin")
        basis = Basis.of(basis, Layout.of(origin))
        if tuple(precision_mean.shape) != (len(basis),):
            raise PosteriorError(f"precision_mean has shape {list(precision_mean.shape)}, expected [{len(basis)}]")
        precision_mean = require_finite(precision_mean, "precision_mean").to(torch.float64)
        for name, value in (
            ("origin", origin),
            ("basis", basis),
            ("precision", require_symmetric(precision, len(basis), "the precision")),
            ("precision_mean", precision_mean),
            ("lent", lent),
        ):
            object.__setattr__(self, name, value)

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Shapes and dtypes of the parameters."""
        return spec_mapping(self.origin)

    @property
    def coordinates(self) -> Tensor:
        """The mean of `c`, `A^-1 η [D]`; `PosteriorError` where `A` is singular."""
        factor = cholesky(self.precision, "the precision of the subspace")
        return torch.cholesky_solve(self.precision_mean[:, None], factor)[:, 0]

    @property
    def mean(self) -> Params:
        """The parameters at the mean of `c`."""
        return self.at(self.coordinates)

    def at(self, coordinates: Tensor) -> dict[str, Tensor]:
        """The parameters at `c [D]`, in the origin's dtypes."""
        return self.basis.point(self.origin, coordinates)

    def blocks(self) -> tuple[str, ...]:
        """One block: all coordinates are coupled."""
        return ("coordinates",)

    def natural(self, block: str = "coordinates") -> Matrix:
        """`A`, `η`, and what is lent."""
        return Matrix(self.precision, self.precision_mean, self.lent)

    def names(self, block: str = "coordinates") -> tuple[str, ...]:
        """All tensors of the origin."""
        return tuple(self.origin)

    def expand(self, block: str, solution: Tensor, out: Mapping[str, Tensor]) -> Iterator[str]:
        """`origin + V c` for `c [K, D]`, tensor by tensor; tensors that no direction touches stay."""
        for name in self.origin:
            self.basis.displace(self.origin[name], solution, name, out[name])
            yield name

    def restrict(self, block: str, gradient: Params) -> Tensor:
        """`Vᵀg [D]`."""
        return self.basis.project_gradient(gradient)

    def displacement(self, block: str, step: Tensor) -> dict[str, Tensor]:
        """`V c` for a step `c [D]`."""
        return {name: self.basis.combine(step[None], name)[0] for name in self.basis.tensors()}

    def map_params(self, view: Callable[[Params], Params]) -> Subspace:
        """Views of the origin and of every direction."""
        directions = tuple(view(direction) for direction in self.basis.directions)
        return replace(self, origin=view(self.origin), basis=replace(self.basis, directions=directions))

    def require_same_kind(self, other: Posterior) -> None:
        """Same family, and the very same coordinates: origin and basis are shared or equal."""
        require_same_specs(self, other)
        assert isinstance(other, Subspace)
        shared = self.basis is other.basis and all(
            tensor is other.origin[name] or torch.equal(tensor, other.origin[name])
            for name, tensor in self.origin.items()
        )
        if not shared and self._frame_digest != other._frame_digest:
            raise PosteriorError(
                "subspace posteriors with different origins or bases cannot be merged: their coordinates mean "
                "different things. Fit all tasks in one basis"
            )

    def with_ridge(self, strength: Tensor | float, centre: Tensor, own: Tensor | None = None) -> Subspace:
        """The same posterior times a prior `N(centre, diag(λ)^-1)` over `c`: `(A + diag(λ), η + λ∘centre)`.

        Args:
            strength: `λ`, one number or one per direction `[D]`.
            centre: `[D]`.
            own: `[D]`, one on the coordinates that this task lends to a merge in proportion to its weight
                (`lending.py`), zero elsewhere; the ridge counts the same at any weights when `None`.
        """
        ridge = torch.as_tensor(strength, dtype=torch.float64).expand(len(self.basis))
        if not bool((ridge >= 0).all()):
            raise PosteriorError(f"the ridge must be >= 0, got {float(ridge.min())}")
        return Subspace(
            self.origin,
            self.basis,
            self.precision + torch.diag(ridge),
            self.precision_mean + ridge * centre.to(torch.float64),
            self.lent if own is None else Lending(ridge * own, centre.to(torch.float64)),
        )

    def energy_at(self, coordinates: Tensor) -> Tensor:
        """`½cᵀAc - ηᵀc` at `c [..., D]`: the predicted loss up to a constant, when the ridge is left out."""
        quadratic = ((coordinates @ self.precision) * coordinates).sum(-1)
        return quadratic / 2 - coordinates @ self.precision_mean

    def energy(self, params: Params) -> float:
        """The energy at the coordinates of `params` (least squares; parameters off the subspace are refused)."""
        return float(self.energy_at(self.project(params)))

    def project(self, params: Params, tolerance: float = 1e-4) -> Tensor:
        """Coordinates `c [D]` of `params`.

        Raises:
            PosteriorError: `params` lie outside the subspace by more than `tolerance`, relative to `θ - origin`.
        """
        moved = {name: (params[name], origin) for name, origin in self.origin.items() if origin.is_floating_point()}
        products, squared = self.basis.inner_products(moved)
        gram = self.basis.gram()
        coordinates = torch.linalg.lstsq(gram, products[:, None], driver="gelsd").solution[:, 0]
        # ‖o - Vc‖² = ‖o‖² - 2 cᵀVᵀo + cᵀVᵀVc, in float64: its rounding is far below any tolerance.
        left = max(0.0, squared - float(2 * coordinates @ products - coordinates @ gram @ coordinates))
        if left > (tolerance**2) * squared:
            raise PosteriorError(
                f"these parameters lie outside the subspace (by {math.sqrt(left / squared):.2g} of their distance "
                "from the origin)"
            )
        return coordinates

    def log_density(self, params: Params) -> float:
        """`log N(c; A^-1η, A^-1)` at the coordinates of `params`."""
        factor = cholesky(self.precision, "the precision of the subspace")
        offset = self.project(params) - self.coordinates
        normaliser = factor.diagonal().log().sum() - 0.5 * len(offset) * math.log(2 * math.pi)
        return float(normaliser - 0.5 * offset @ (self.precision @ offset))

    def sample(self, generator: torch.Generator) -> dict[str, Tensor]:
        """`origin + V(A^-1η + L^-ᵀε)` with `A = L Lᵀ`."""
        factor = cholesky(self.precision, "the precision of the subspace")
        noise = torch.randn(len(factor), 1, generator=generator, dtype=torch.float64)
        return self.at(self.coordinates + torch.linalg.solve_triangular(factor.T, noise, upper=True)[:, 0])

    @property
    def _frame_digest(self) -> str:
        parts = [
            digest_params(self.origin),
            *(digest_params(direction) for direction in self.basis.directions),
        ]
        return hashlib.sha256("|".join(parts).encode()).hexdigest()

    @property
    def digest(self) -> str:
        """From the frame and the natural parameters."""
        natural = digest_params({"precision": self.precision, "precision_mean": self.precision_mean})
        return hashlib.sha256(f"{self.family}|{self._frame_digest}|{natural}".encode()).hexdigest()
