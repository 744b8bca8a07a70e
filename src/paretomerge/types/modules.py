"""The two things everything that computes does with a module: call it, and overwrite its parameters.

A module need not hold its parameters where it shows them. Its attribute `PLACES`, if it has one, maps names of its
state to the tensors that do: parameters that hooks bring to a device when they are needed lie in the main memory or in
a mapped file. Parameters of which every process holds a part (DTensor) are written part by part.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge.errors import AlignmentError
from paretomerge.types.params import Params, TensorSpec, spec_of
from paretomerge.types.sharded import fill

PLACES = "paretomerge_places"
"""The attribute of a module that says where tensors of its state are kept, by name."""

_LOADED: weakref.WeakKeyDictionary[nn.Module, weakref.ref[Any]] = weakref.WeakKeyDictionary()
"""Which model that is made while it is written a module holds: writing it again would make it again."""


def call_module(module: nn.Module, inputs: Any) -> Tensor:
    """Outputs for inputs that are a tensor or a mapping of keyword arguments; `.logits` where outputs carry them."""
    return outputs_of(module(**inputs) if isinstance(inputs, Mapping) else module(inputs))


def outputs_of(returned: Any) -> Tensor:
    """The tensor a model returned, or its `.logits`, as Hugging Face models have."""
    return returned if isinstance(returned, Tensor) else returned.logits


def load_in_place(module: nn.Module, params: Params) -> None:
    """Copy `params` into the module's own tensors; buffers that are missing stay as they are.

    A tied parameter is written once, under its first name. Parameters with a method `write_into(targets)` write
    themselves: a merge that is computed block by block, of which no second copy is ever made. They must not change,
    since a module that holds them already is left alone.

    Raises:
        AlignmentError: a parameter of the module is missing, has another shape, or is unknown to it.
    """
    write_into = getattr(params, "write_into", None)
    held = _LOADED.get(module)
    if write_into is not None and held is not None and held() is params:
        return
    _LOADED.pop(module, None)
    require_fits(params, module)
    tied = tied_names(module)
    targets = {name: t for name, t in tensors_of(module).items() if name in params and name not in tied}
    with torch.no_grad():
        if write_into is not None:
            write_into(targets)
            _LOADED[module] = weakref.ref(params)
            return
        for name, tensor in targets.items():
            fill(tensor, params[name])


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """A module's parameters and buffers by name, each where it is kept: what is written there, the module computes."""
    return {**module.state_dict(), **getattr(module, PLACES, {})}


def input_device(module: nn.Module) -> torch.device:
    """Where a module's inputs may begin: that of its first parameter with memory; hooks bring them further."""
    return next((each.device for each in module.parameters() if not each.is_meta), torch.device("cpu"))


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
        if name in params and (shape := _shape(params, name)) != tuple(expected.shape):
            raise AlignmentError(f"{name!r} has shape {list(shape)}, the model expects {list(expected.shape)}")


def _shape(params: Mapping[str, Tensor] | Mapping[str, TensorSpec], name: str) -> tuple[int, ...]:
    """Without reading values that are read lazily."""
    return spec_of(params, name).shape  # type: ignore[arg-type]
