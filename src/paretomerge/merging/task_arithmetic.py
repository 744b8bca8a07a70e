"""Task arithmetic: add scaled task vectors to the base model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from paretomerge.errors import WeightsError
from paretomerge.merging.base import Domain, Inputs
from paretomerge.merging.linear import combine_block, floating_blocks
from paretomerge.types import Params


@dataclass(frozen=True)
class TaskArithmetic:
    """`θ = θ_0 + scale · Σ c_t (θ_t - θ_0)`; coefficients of any sign.

    Ilharco et al., 2023, Editing models with task arithmetic.

    Args:
        scale: one factor on all coefficients.

    Raises:
        WeightsError: no base model was given.
    """

    scale: float = 1.0

    domain: ClassVar[Domain] = "coefficients"

    def prepare(self, inputs: Inputs) -> tuple[Inputs, Params]:
        """Find the base: given as such, or as the mean of the prior."""
        base = inputs.base if inputs.base is not None else inputs.prior.mean if inputs.prior is not None else None
        if base is None:
            raise WeightsError("task arithmetic adds task vectors to the base model: give `base`")
        return inputs, base

    def blocks(self, state: tuple[Inputs, Params]) -> Sequence[str]:
        """Every floating-point tensor."""
        return floating_blocks(state[0])

    def merge_block(self, state: tuple[Inputs, Params], values: Tensor, block: str) -> dict[str, Tensor]:
        """`θ_0 + (scale · values [K, T]) @ task vectors [T, n]`."""
        inputs, base = state
        return {block: combine_block(inputs, self.scale * values, block, origin=base)}
