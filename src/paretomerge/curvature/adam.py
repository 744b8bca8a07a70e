"""Diagonal posteriors from the second moments that Adam keeps: curvature that costs nothing.

    h = batch_size · v / (1 - β₂^step)        v ← β₂ v + (1 - β₂) g²,  g the gradient of a whole batch

(Kingma & Ba, 2015, Adam: A Method for Stochastic Optimization; Loshchilov & Hutter, 2019, Decoupled Weight Decay
Regularization.)

Scale convention: `g` is the gradient of a **mean** over a batch, so near a minimum `g²` is about the mean squared
gradient of one label divided by the batch, and `batch_size × v̂` about the empirical Fisher matrix of the mean loss.
It is not a Fisher matrix: it adds `batch_size ×` the squared mean gradient, it is averaged over the last `1/(1 - β₂)`
steps rather than taken at the finetune, and gradient clipping has shrunk the steps it touched, which nothing can undo
afterwards. With `Adam(weight_decay > 0)`, unlike AdamW, it also holds the decay. Offered, labelled, ranked by
measurement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge.errors import PosteriorError
from paretomerge.posteriors import Diagonal

NO_DECAY = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)")
"""Names of the parameters that transformers' Trainer does not decay, besides those of `nn.LayerNorm`."""

NamedGroup = Mapping[str, Tensor]
"""The parameters of one group of an optimizer in their order: names, and values (the posterior's mean)."""


def adam_posterior(
    state: Mapping[str, Any], parameters: nn.Module | Sequence[NamedGroup], *, batch_size: float
) -> Diagonal:
    """The posterior whose precision is Adam's second moment, without prior.

    Args:
        state: what `optimizer.state_dict()` gives, or `checkpoints.read_optimizer_state` of a Trainer's `optimizer.pt`.
        parameters: a module with the finetuned values, trainable where it was trained; its parameters are taken in
            the order of Hugging Face's Trainer (or plainly in theirs, if the optimizer has one group). Or the
            optimizer's groups themselves, as names and values in order.
        batch_size: labels that one step's gradient was the mean of: examples of a classifier (per device × processes
            × accumulated batches), labelled tokens of a language model.

    Returns:
        Over the trained parameters; precision zero where none received a gradient.

    Raises:
        PosteriorError: another optimizer, 8-bit states, no step taken, or counts or shapes that do not match.
    """
    if not batch_size > 0:
        raise PosteriorError(f"batch_size must be positive, got {batch_size}")
    stored = list(state["param_groups"])
    groups = named_groups(parameters, state) if isinstance(parameters, nn.Module) else list(parameters)
    _require_counts(stored, groups)
    mean: dict[str, Tensor] = {}
    precision: dict[str, Tensor] = {}
    for settings, group in zip(stored, groups, strict=True):
        for index, (name, value) in zip(settings["params"], group.items(), strict=True):
            moment = _second_moment(state["state"].get(index), settings, name, value)
            mean[name], precision[name] = value.detach(), batch_size * moment
    if not any(bool(tensor.any()) for tensor in precision.values()):
        raise PosteriorError("the optimizer's second moments are all zero: no step was taken, or no gradient arrived")
    return Diagonal(mean, precision)


def trainer_groups(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The trainable parameters as Hugging Face's Trainer groups them: with weight decay, and without.

    Biases and the parameters of normalisation layers are not decayed; each group keeps the order of the module.
    """
    normalised = {
        f"{prefix}.{name}" if prefix else name
        for prefix, layer in module.named_modules()
        if isinstance(layer, nn.LayerNorm)
        for name, _ in layer.named_parameters()
    }
    decayed: dict[str, Tensor] = {}
    others: dict[str, Tensor] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            group = others if name in normalised or NO_DECAY.search(name.lower()) else decayed
            group[name] = parameter
    return decayed, others


def named_groups(module: nn.Module, state: Mapping[str, Any]) -> list[NamedGroup]:
    """The parameters of a module in the order in which an optimizer's state numbers them.

    By the names the state holds, if it does; else one group is taken to be all trainable parameters, and two the
    groups of Hugging Face's Trainer.

    Raises:
        PosteriorError: more groups, or a name that the module does not have.
    """
    stored = list(state["param_groups"])
    named = dict(module.named_parameters())
    if all("param_names" in settings for settings in stored):
        names = [name for settings in stored for name in settings["param_names"]]
        missing = [name for name in names if name not in named]
        if missing:
            raise PosteriorError(f"the optimizer trained {missing[0]!r}, which the model does not have: another model")
        return [{name: named[name] for name in settings["param_names"]} for settings in stored]
    if len(stored) == 1:
        return [{name: parameter for name, parameter in named.items() if parameter.requires_grad}]
    if len(stored) == 2:
        return list(trainer_groups(module))
    raise PosteriorError(
        f"the optimizer has {len(stored)} groups of parameters, and only the two of a Hugging Face Trainer (or a "
        "single one) have a known order: give the groups, names and values of each, instead of the module"
    )


def _require_counts(stored: Sequence[Mapping[str, Any]], groups: Sequence[NamedGroup]) -> None:
    counts = [len(settings["params"]) for settings in stored]
    given = [len(group) for group in groups]
    if counts != given:
        raise PosteriorError(
            f"the optimizer's groups hold {counts} parameters, the model's {given}: it is another model, or other "
            "parameters were frozen in training; set requires_grad as it was then, and use the class that was trained "
            "(with its adapter, if it had one)"
        )


def _second_moment(entry: Any, settings: Mapping[str, Any], name: str, value: Tensor) -> Tensor:
    """`v / (1 - β₂^step)` in float32, of the shape of `value`."""
    if entry is None:  # the parameter never received a gradient
        return torch.zeros_like(value, dtype=torch.float32, requires_grad=False)
    _require_adam(entry, settings, name)
    moment, step = entry["exp_avg_sq"], float(entry["step"])
    if tuple(moment.shape) != tuple(value.shape):
        raise PosteriorError(
            f"the optimizer's second moment for {name!r} has shape {list(moment.shape)}, the parameter "
            f"{list(value.shape)}: it is another model, parameters in another order, or a sharded or projected state"
        )
    if step < 1:
        raise PosteriorError(f"the optimizer has taken no step for {name!r}: there is no second moment yet")
    return moment.detach().to(value.device, torch.float32) / (1 - float(settings["betas"][1]) ** step)


def _require_adam(entry: Any, settings: Mapping[str, Any], name: str) -> None:
    keys = set(entry) if isinstance(entry, Mapping) else set()
    if {"state1", "state2"} & keys:
        found = "bitsandbytes keeps them quantised, or under names of its own"
    elif {"exp_avg_sq_row", "exp_avg_sq_col", "RMS"} & keys:
        found = "Adafactor keeps row and column sums only"
    elif "projector" in keys:
        found = "GaLore keeps them in a projection"
    elif {"exp_avg_sq", "step"} <= keys and "betas" in settings and type(entry["exp_avg_sq"]) is Tensor:
        return
    else:
        found = f"the optimizer keeps {', '.join(sorted(map(str, keys))) or 'nothing'}"
    raise PosteriorError(
        f"{name!r} has no second moments of Adam: {found}. Measure a Fisher matrix instead, or train with "
        "optim='adamw_torch' (fused and foreach are the same)"
    )
