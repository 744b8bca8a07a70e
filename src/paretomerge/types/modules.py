"""The two things everything that computes does with a module: call it, and overwrite its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge.errors import AlignmentError
from paretomerge.types.params import Params, TensorSpec


def call_module(module: nn.Module, inputs: Any) -> Tensor:
    """Outputs for inputs that are a tensor or a mapping of keyword arguments; `.logits` where outputs carry them."""
    return outputs_of(module(**inputs) if isinstance(inputs, Mapping) else module(inputs))


def outputs_of(returned: Any) -> Tensor:
    """The tensor a model returned, or its `.logits`, as Hugging Face models have."""
    return returned if isinstance(returned, Tensor) else returned.logits


def load_in_place(module: nn.Module, params: Params) -> None:
    """Copy `params` into the module's own tensors; buffers that are missing stay as they are.

    A tied parameter is written once, under its first name.

    Raises:
        AlignmentError: a parameter of the module is missing, has another shape, or is unknown to it.
    """
    state, tied = module.state_dict(), tied_names(module)
    require_fits(params, module)
    with torch.no_grad():
        for name, tensor in state.items():
            if name in params and name not in tied:
                tensor.copy_(params[name])


def tied_names(module: nn.Module) -> frozenset[str]:
    """Second names of parameters that a module uses in two places, such as an output layer tied to the embedding."""
    first = dict(module.named_parameters())
    return frozenset(name for name, _ in module.named_parameters(remove_duplicate=False) if name not in first)


def require_fits(params: Mapping[str, Tensor] | Mapping[str, TensorSpec], module: nn.Module) -> None:
    """Raise `AlignmentError` unless `params`, tensors or specs, are every parameter of `module` in its shape."""
    state, trainable = module.state_dict(), dict(module.named_parameters())
    missing = [name for name in trainable if name not in params]
    unknown = [name for name in params if name not in state]
    if missing or unknown:
        what = f"lack {missing[0]!r}" if missing else f"have {unknown[0]!r}, which the model does not"
        raise AlignmentError(f"these parameters {what}: they belong to another architecture")
    for name, expected in state.items():
        if name in params and tuple(params[name].shape) != tuple(expected.shape):
            raise AlignmentError(
                f"{name!r} has shape {list(params[name].shape)}, the model expects {list(expected.shape)}"
            )
