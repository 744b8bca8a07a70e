"""Which modules are layers whose gradients follow from their inputs and the gradients of their outputs.

A module counts by the forward method it runs, so a subclass that changes it is not mistaken for its parent. A new
kind is one row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from paretomerge.curvature.layers.lookup import LookupLayer
from paretomerge.curvature.layers.matrix import Geometry, MatrixLayer
from paretomerge.curvature.layers.scale import ScaleLayer

Layer = MatrixLayer | LookupLayer | ScaleLayer


def layers_of(module: nn.Module, trainable: Sequence[str]) -> list[Layer]:
    """The layers of a module with trainable parameters of their own.

    Left out: parameters that several modules share, and modules of other kinds.
    """
    uses = Counter(id(tensor) for _, tensor in module.named_parameters(remove_duplicate=False))
    found: list[Layer] = []
    for name, inner in module.named_modules():
        build = KINDS.get(_forward_of(inner))
        own = inner._parameters
        if build is None or any(tensor is not None and uses[id(tensor)] > 1 for tensor in own.values()):
            continue
        full = {local: f"{name}.{local}" if name else local for local in own}
        differentiated = {local: long for local, long in full.items() if long in trainable}
        layer = build(inner, name, differentiated.get("weight"), differentiated.get("bias"))
        if layer is not None and layer.names and len(layer.names) == len(differentiated):
            found.append(layer)
    return found


def _forward_of(module: nn.Module) -> str:
    """The name of the forward method a module runs; nothing where one object runs its own."""
    forward = type(module).forward
    return "" if "forward" in vars(module) else f"{forward.__module__}.{forward.__qualname__}"


def _linear(module: Any, name: str, weight: str | None, bias: str | None) -> Layer:
    return MatrixLayer(name, weight, bias)


def _transposed(module: Any, name: str, weight: str | None, bias: str | None) -> Layer:
    return MatrixLayer(name, weight, bias, transposed=True)


def _convolution(module: Any, name: str, weight: str | None, bias: str | None) -> Layer:
    kernel, dilation = tuple(module.kernel_size), tuple(module.dilation)
    if module.padding == "same":
        totals = [spread * (size - 1) for size, spread in zip(kernel, dilation, strict=True)]
        padding = tuple((total // 2, total - total // 2) for total in totals)
    elif module.padding == "valid":
        padding = tuple((0, 0) for _ in kernel)
    else:
        padding = tuple((amount, amount) for amount in module.padding)
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    geometry = Geometry(kernel, tuple(module.stride), padding, dilation, mode, module.groups)
    return MatrixLayer(name, weight, bias, geometry=geometry)


def _embedding(module: Any, name: str, weight: str | None, bias: str | None) -> Layer | None:
    # A limit on norms overwrites the table while it is read, and the frequency scale is no gradient.
    if weight is None or module.max_norm is not None or module.scale_grad_by_freq:
        return None
    return LookupLayer(name, weight, module.num_embeddings, module.padding_idx)


def _layer_norm(module: Any, given: Tensor) -> Tensor:
    return nn.functional.layer_norm(given, module.normalized_shape, eps=module.eps)


def _rms_norm(module: Any, given: Tensor) -> Tensor:
    return nn.functional.rms_norm(given, module.normalized_shape, eps=module.eps)


def _group_norm(module: Any, given: Tensor) -> Tensor:
    return nn.functional.group_norm(given, module.num_groups, eps=module.eps)


def _batch_norm(module: Any, given: Tensor) -> Tensor:
    return nn.functional.batch_norm(given, module.running_mean, module.running_var, eps=module.eps)


def _over_last(normalise: Callable[[Any, Tensor], Tensor]) -> Callable[..., Layer]:
    def build(module: Any, name: str, weight: str | None, bias: str | None) -> Layer:
        return ScaleLayer(name, weight, bias, normalise, -len(module.normalized_shape))

    return build


def _over_channels(normalise: Callable[[Any, Tensor], Tensor]) -> Callable[..., Layer | None]:
    def build(module: Any, name: str, weight: str | None, bias: str | None) -> Layer | None:
        # Statistics of the batch make one example's gradient depend on the others.
        own = isinstance(module, nn.GroupNorm) or module.running_mean is not None
        return ScaleLayer(name, weight, bias, normalise, 1) if own else None

    return build


KINDS: dict[str, Callable[..., Layer | None]] = {
    "torch.nn.modules.linear.Linear.forward": _linear,
    "transformers.pytorch_utils.Conv1D.forward": _transposed,
    "torch.nn.modules.conv.Conv1d.forward": _convolution,
    "torch.nn.modules.conv.Conv2d.forward": _convolution,
    "torch.nn.modules.conv.Conv3d.forward": _convolution,
    "torch.nn.modules.sparse.Embedding.forward": _embedding,
    "torch.nn.modules.normalization.LayerNorm.forward": _over_last(_layer_norm),
    "torch.nn.modules.normalization.RMSNorm.forward": _over_last(_rms_norm),
    "torch.nn.modules.normalization.GroupNorm.forward": _over_channels(_group_norm),
    "torch.nn.modules.batchnorm._BatchNorm.forward": _over_channels(_batch_norm),
}
"""Forward method → how its layer is made."""
