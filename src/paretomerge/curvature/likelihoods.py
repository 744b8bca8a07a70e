"""Losses with what curvature needs of them: derivatives with respect to the model's outputs.

Shapes: `B` examples, `C` outputs, `D` directions.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from paretomerge.errors import DataError


class Likelihood(Protocol):
    """Negative log likelihood of targets given outputs."""

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each example, `[B]`."""
        ...

    def gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """`∂ loss_b / ∂ outputs_b`, `[B, C]`."""
        ...

    def curvature_product(self, outputs: Tensor, tangents: Tensor) -> Tensor:
        """`∂² loss_b / ∂ outputs_b² · u` for tangents `[D, B, C]`."""
        ...

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Targets drawn from the model itself, as the true Fisher needs."""
        ...


class Categorical:
    """Softmax cross-entropy: outputs are logits `[B, C]`, targets class indices `[B]`.

    With `p = softmax(outputs)` the curvature is `diag(p) - ppᵀ`.
    """

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """`-log p[target]`."""
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    def gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """`p - onehot(target)`."""
        return outputs.softmax(-1) - nn.functional.one_hot(targets, outputs.shape[-1]).to(outputs.dtype)

    def curvature_product(self, outputs: Tensor, tangents: Tensor) -> Tensor:
        """`p∘u - p(pᵀu)`."""
        weighted = outputs.softmax(-1) * tangents
        return weighted - outputs.softmax(-1) * weighted.sum(-1, keepdim=True)

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Class indices drawn from `p`."""
        return torch.multinomial(outputs.softmax(-1), 1, generator=generator)[:, 0]


class Gaussian:
    """Half the squared error, `½‖outputs - targets‖²`: unit noise variance, curvature `I`."""

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Half the squared distance."""
        return 0.5 * (outputs - targets).square().sum(-1)

    def gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """`outputs - targets`."""
        return outputs - targets

    def curvature_product(self, outputs: Tensor, tangents: Tensor) -> Tensor:
        """The identity."""
        return tangents

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """`outputs + ε`."""
        return outputs + torch.randn(outputs.shape, generator=generator, dtype=outputs.dtype)


def likelihood_of(name: str) -> Likelihood:
    """`"categorical"` or `"gaussian"`."""
    known: dict[str, Likelihood] = {"categorical": Categorical(), "gaussian": Gaussian()}
    if name not in known:
        raise DataError(f"unknown likelihood {name!r}: one of {', '.join(known)}")
    return known[name]
