"""Layers that multiply by a matrix at every position: linear maps and convolutions.

The one idea: the weight's gradient of an example is `Σ_s g_bs a_bsᵀ`, with `a` what goes in (patches, for
convolutions) and `g` the gradient of what comes out.

Shapes: `B` examples, `S` positions, `O` outputs, `I` inputs (one more with a bias), `groups` of a convolution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from paretomerge.curvature.layers.squares import products_along, sum_of_squares, widened

Sharing = Literal["expand", "reduce"]
"""How positions that share a weight enter K-FAC (Eschenhagen et al., 2023, Kronecker-Factored Approximate Curvature
for Modern Neural Network Architectures): `expand` takes each for an example of its own, `reduce` sums them first."""

Call = tuple[Tensor, Tensor]
"""What a layer kept of its input, and the gradient of its output, `[B, …]` both."""


@dataclass(frozen=True)
class Geometry:
    """How a convolution cuts patches out of its input; one number per spatial dimension."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    mode: str
    groups: int

    def patches(self, images: Tensor) -> Tensor:
        """`[B, channels, …] → [B, S, channels × kernel]`."""
        around = [amount for pair in reversed(self.padding) for amount in pair]
        if any(around):
            images = nn.functional.pad(images, around, mode=self.mode)
        spatial = len(self.kernel)
        for axis, (size, step, spread) in enumerate(zip(self.kernel, self.stride, self.dilation, strict=True)):
            images = images.unfold(2 + axis, spread * (size - 1) + 1, step)[..., ::spread]
        places, inner = range(2, 2 + spatial), range(2 + spatial, 2 + 2 * spatial)
        return images.permute(0, *places, 1, *inner).flatten(1 + spatial).flatten(1, spatial)


@dataclass(frozen=True)
class MatrixLayer:
    """`nn.Linear`, `nn.Conv1d` to `nn.Conv3d`, and the `Conv1D` of transformers.

    Args:
        name: of the module.
        weight: name of its weight, when that is differentiated.
        bias: name of its bias, likewise.
        transposed: whether the weight is stored `[I, O]`.
        geometry: of a convolution.
    """

    name: str
    weight: str | None
    bias: str | None
    transposed: bool = False
    geometry: Geometry | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Differentiated parameters."""
        return tuple(name for name in (self.weight, self.bias) if name is not None)

    @property
    def is_factored(self) -> bool:
        """Whether Kronecker factors describe it: there is a weight, and one group."""
        return self.weight is not None and (self.geometry is None or self.geometry.groups == 1)

    @property
    def channels_second(self) -> bool:
        """Whether the last axes are spatial."""
        return self.geometry is not None

    def keep(self, module: nn.Module, given: Tensor) -> Tensor:
        """The input as it is; patches are cut when they are needed."""
        return given

    def add_squares(self, calls: Sequence[Call], totals: dict[str, Tensor]) -> None:
        """Add every example's squared gradient to the totals of weight and bias."""
        outputs = self._outputs(calls)
        if self.bias is not None:
            totals[self.bias] += outputs.sum(1).square().sum(0)
        if self.weight is None:
            return
        inputs = self._inputs(calls)
        if self.geometry is not None and self.geometry.groups > 1:
            found = _grouped_squares(outputs, inputs, self.geometry.groups)
        else:
            found = sum_of_squares(outputs, inputs)
        total = totals[self.weight]
        total += (found.T if self.transposed else found).reshape(total.shape)

    def along(self, calls: Sequence[Call], directions: Mapping[str, Tensor]) -> Tensor:
        """Every example's gradient along `k` directions of weight and bias, `[k, *shape]` each: `[k, B]`."""
        outputs = self._outputs(calls)
        total = outputs.new_zeros(len(next(iter(directions.values()))), len(outputs))
        if self.bias is not None and self.bias in directions:
            total += directions[self.bias].to(outputs.dtype) @ outputs.sum(1).T
        if self.weight is not None and self.weight in directions:
            weight = directions[self.weight].to(outputs.dtype)
            inputs, groups = self._inputs(calls), 1 if self.geometry is None else self.geometry.groups
            weight = (weight.mT if self.transposed else weight.flatten(2)).unflatten(1, (groups, -1))
            after, before = outputs.unflatten(-1, (groups, -1)), inputs.unflatten(-1, (groups, -1))
            for group in range(groups):
                total += products_along(after[:, :, group], before[:, :, group], weight[:, group])
        return total

    def input_moment(self, calls: Sequence[Call], sharing: Sharing, real: Tensor | None) -> Tensor:
        """`Σ_b (1/S) Σ_s a aᵀ [I, I]`, or with `reduce` of the mean input of each example.

        Positions that are not `real [B, S]` (padding) do not count.
        """
        inputs = self._inputs(calls, with_bias=True)
        if real is None or real.shape != inputs.shape[:2]:
            real = inputs.new_ones(inputs.shape[:2])
        share = real.to(inputs.dtype) / real.sum(1, keepdim=True).clamp(min=1)
        if sharing == "reduce":
            mean = (inputs * share[..., None]).sum(1)
            return mean.T @ mean
        flat = (inputs * share.sqrt()[..., None]).flatten(0, 1)
        return flat.T @ flat

    def output_moment(self, calls: Sequence[Call], sharing: Sharing) -> Tensor:
        """`Σ_b Σ_s g gᵀ [O, O]`, or with `reduce` of the summed gradient of each example."""
        outputs = self._outputs(calls)
        flat = outputs.sum(1) if sharing == "reduce" else outputs.flatten(0, 1)
        return flat.T @ flat

    def add_projected_squares(
        self, calls: Sequence[Call], inputs: Tensor | None, outputs: Tensor, total: Tensor
    ) -> None:
        """Add `Σ_b (U_Gᵀ (Σ_s g aᵀ) U_A)²` to `total [O, I]`: the diagonal in the eigenbases."""
        assert inputs is not None
        before, after = self._inputs(calls, with_bias=True), self._outputs(calls)
        total += sum_of_squares(after @ outputs.to(after.dtype), before @ inputs.to(before.dtype))

    def _inputs(self, calls: Sequence[Call], with_bias: bool = False) -> Tensor:
        """`[B, S, I]`; several calls are further positions."""
        found = [_positions(kept) if self.geometry is None else self.geometry.patches(kept) for kept, _ in calls]
        inputs = widened(torch.cat(found, 1) if len(found) > 1 else found[0])
        if with_bias and self.bias is not None:
            inputs = torch.cat([inputs, inputs.new_ones(*inputs.shape[:2], 1)], -1)
        return inputs

    def _outputs(self, calls: Sequence[Call]) -> Tensor:
        """`[B, S, O]`."""
        found = [
            _positions(gradient) if self.geometry is None else gradient.flatten(2).mT.contiguous()
            for _, gradient in calls
        ]
        return widened(torch.cat(found, 1) if len(found) > 1 else found[0])


def _positions(tensor: Tensor) -> Tensor:
    """`[B, …, D] → [B, S, D]`."""
    return tensor.reshape(tensor.shape[0], -1, tensor.shape[-1])


def _grouped_squares(outputs: Tensor, inputs: Tensor, groups: int) -> Tensor:
    """`[O, I / groups]`: each group of outputs sees its own inputs."""
    after = outputs.unflatten(-1, (groups, -1))  # [B, S, groups, O / groups]
    before = inputs.unflatten(-1, (groups, -1))
    total = after.new_zeros(groups, after.shape[-1], before.shape[-1])
    for each_after, each_before in zip(after, before, strict=True):
        total += torch.einsum("sgo,sgi->goi", each_after, each_before).square_()
    return total.flatten(0, 1)
