"""A task's loss expanded at a point that is not its minimum: curvature there, and the gradient.

    l(θ) ≈ l(θ_c) + gᵀ(θ-θ_c) + ½(θ-θ_c)ᵀ H (θ-θ_c)

Where `H` is singular this has no minimum. A prior `N(θ_t, (λI)^-1)` around the task's own finetune gives it one:

    mean = θ_t - (H + λI)^-1 ( H(θ_t - θ_c) + g )

which is the finetune for a strong prior, and the Newton step from `θ_c` for a weak one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.posteriors.base import Posterior
from paretomerge.posteriors.operators import precision_product, precision_solve
from paretomerge.posteriors.product import Product
from paretomerge.types import Params, TensorSpec, digest_params


@dataclass(frozen=True, eq=False)
class Expanded:
    """An expansion of a loss; no distribution until it is damped.

    Args:
        curvature: a posterior over plain parameters; its mean is `θ_c`, its precision `H`, without prior.
        slope: the gradient `g` at `θ_c`.
        anchor: `θ_t`, where the prior pulls.

    Raises:
        PosteriorError: a gradient or an anchor that lacks a parameter.
    """

    curvature: Posterior
    slope: Params
    anchor: Params

    family: ClassVar[str] = "expanded"

    def __post_init__(self) -> None:
        """Gradient and anchor cover the curvature."""
        for what, params in (("gradient", self.slope), ("anchor", self.anchor)):
            missing = [name for name, spec in self.specs.items() if spec.is_mergeable and name not in params]
            if missing:
                raise PosteriorError(f"the {what} lacks {missing[0]!r}, which the curvature covers")

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Shapes and dtypes of the parameters."""
        return self.curvature.specs

    def map_params(self, view: Callable[[Params], Params]) -> Expanded:
        """Views of the curvature, the gradient and the anchor."""
        return replace(
            self, curvature=self.curvature.map_params(view), slope=view(self.slope), anchor=view(self.anchor)
        )

    def damped(self, curvature: Posterior) -> Posterior:
        """The posterior with the prior around the anchor, given `curvature`, the same curvature damped."""
        offset = {
            name: self.anchor[name].to(torch.float64) - centre.to(torch.float64)
            for name, centre in self.curvature.mean.items()
            if centre.is_floating_point()
        }
        pulled = precision_product(self.curvature, offset)
        step = precision_solve(curvature, {name: pulled[name] + self.slope[name] for name in pulled})
        moved = {
            name: self.anchor[name] - step[name].to(self.anchor[name].dtype) if name in step else tensor
            for name, tensor in curvature.mean.items()
        }
        return _with_mean(curvature, moved)

    def energy(self, params: Params) -> float:
        """The expanded loss up to a constant, `½θᵀHθ - (Hθ_c - g)ᵀθ`."""
        along = [(self.slope[name].to(torch.float64) * params[name].to(torch.float64)).sum() for name in self._names]
        return self.curvature.energy(params) + float(torch.stack(along).sum())

    @property
    def _names(self) -> list[str]:
        return [name for name, spec in self.specs.items() if spec.is_mergeable]

    @property
    def digest(self) -> str:
        """From the curvature, the gradient and the anchor."""
        parts = f"{self.curvature.digest}|{digest_params(self.slope)}|{digest_params(self.anchor)}"
        return hashlib.sha256(f"{self.family}|{parts}".encode()).hexdigest()


Curvature = Posterior | Expanded
"""What measuring gives: a posterior without prior, or an expansion that becomes one when it is damped."""


def _with_mean(posterior: Posterior, mean: Mapping[str, Tensor]) -> Posterior:
    if isinstance(posterior, Product):
        return Product({name: _with_mean(part, mean) for name, part in posterior.parts.items()})
    own = {name: mean[name] for name in posterior.specs}
    return replace(posterior, mean=own)  # type: ignore[type-var]
