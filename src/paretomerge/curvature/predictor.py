"""A module as a pure function of its parameters, which is what curvature differentiates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge.errors import AlignmentError
from paretomerge.types import Params

Predictor = Callable[[Params, Any], Tensor]
"""`(params, inputs) → outputs [B, C]`: logits, or predicted means."""


def module_predictor(module: nn.Module) -> Predictor:
    """`module` as a function of its parameters, in evaluation mode (no dropout).

    Inputs may be one tensor or a mapping of keyword arguments; outputs may be a tensor or carry `.logits`, as
    Hugging Face models do. Buffers missing from the parameters are the module's own.
    """
    module.eval()

    def predict(params: Params, inputs: Any) -> Tensor:
        if isinstance(inputs, Mapping):
            outputs = torch.func.functional_call(module, dict(params), (), dict(inputs))
        else:
            outputs = torch.func.functional_call(module, dict(params), (inputs,))
        return outputs if isinstance(outputs, Tensor) else outputs.logits

    return predict


def parameters_of(params: Params, module: nn.Module) -> dict[str, Tensor]:
    """`params` in the order of the module's state, the missing buffers filled in.

    Raises:
        AlignmentError: a parameter of the module is missing, has another shape, or is unknown to it.
    """
    state = module.state_dict()
    trainable = dict(module.named_parameters())
    missing = [name for name in trainable if name not in params]
    unknown = [name for name in params if name not in state]
    if missing or unknown:
        what = f"lack {missing[0]!r}" if missing else f"have {unknown[0]!r}, which the model does not"
        raise AlignmentError(f"these parameters {what}: they belong to another architecture")
    for name in trainable:
        if params[name].shape != trainable[name].shape:
            raise AlignmentError(
                f"{name!r} has shape {list(params[name].shape)}, the model expects {list(trainable[name].shape)}"
            )
    return {name: params[name] if name in params else state[name] for name in state}
