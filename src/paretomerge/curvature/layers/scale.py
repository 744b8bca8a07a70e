"""Normalisations: what is normalised is scaled and shifted elementwise.

Shapes: `B` examples, `D` the shape of scale and shift.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from paretomerge.curvature.layers.matrix import Call
from paretomerge.curvature.layers.squares import widened


@dataclass(frozen=True)
class ScaleLayer:
    """`nn.LayerNorm`, `nn.RMSNorm`, `nn.GroupNorm`, and `nn.BatchNorm1d` to `3d` in evaluation mode.

    Args:
        name: of the module.
        weight: name of the scale, when that is differentiated.
        bias: name of the shift, likewise.
        normalise: the module without scale and shift.
        axes: where the shape of scale and shift lies: the last axes (negative), or channels (1).
    """

    name: str
    weight: str | None
    bias: str | None
    normalise: Callable[[nn.Module, Tensor], Tensor]
    axes: int

    is_factored: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Differentiated parameters."""
        return tuple(name for name in (self.weight, self.bias) if name is not None)

    @property
    def channels_second(self) -> bool:
        """Whether scale and shift go by channels, the second axis."""
        return self.axes > 0

    def keep(self, module: nn.Module, given: Tensor) -> Tensor:
        """The normalised input."""
        return self.normalise(module, given)

    def add_squares(self, calls: Sequence[Call], totals: dict[str, Tensor]) -> None:
        """Add every example's squared gradient to the totals of scale and shift."""
        if self.weight is not None:
            self._add(sum(self._summed(kept * gradient) for kept, gradient in calls), totals[self.weight])
        if self.bias is not None:
            self._add(sum(self._summed(gradient) for _, gradient in calls), totals[self.bias])

    def along(self, calls: Sequence[Call], directions: Mapping[str, Tensor]) -> Tensor:
        """Every example's gradient along `k` directions of scale and shift: `[k, B]`."""
        parts = []
        if self.weight is not None and self.weight in directions:
            parts.append((directions[self.weight], [self._summed(kept * gradient) for kept, gradient in calls]))
        if self.bias is not None and self.bias in directions:
            parts.append((directions[self.bias], [self._summed(gradient) for _, gradient in calls]))
        products = [given.flatten(1).to(sums[0].dtype) @ torch.stack(sums).sum(0).flatten(1).T for given, sums in parts]
        return torch.stack(products).sum(0)

    def _add(self, each: Tensor | int, total: Tensor) -> None:
        assert isinstance(each, Tensor)
        total += each.square().sum(0).reshape(total.shape)

    def _summed(self, tensor: Tensor) -> Tensor:
        """Summed over positions, `[B, D]`."""
        tensor = widened(tensor)
        if self.axes > 0:  # channels come second
            return tensor.flatten(2).sum(2) if tensor.ndim > 2 else tensor
        return tensor.flatten(self.axes).reshape(len(tensor), -1, tensor.shape[self.axes :].numel()).sum(1)
