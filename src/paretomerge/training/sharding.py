"""Models of which every process holds a part: FSDP2, `fully_shard` of PyTorch, as `accelerate launch` asks for it.

A parameter is divided along its first dimension, and so are its gradient and the optimizer's state. A pass gathers the
parameters of one block of layers at a time, and adds its gradients over the processes. Nothing wraps the module: its
class, its names and its loss are those that were built.

Zhao, Gu, Varma, Luo, Huang, Xu, Wright, Shojanazeri, Ott, Shleifer, Desmaison, Balioglu, Damania, Nguyen, Chauhan,
Hao, Mathews, Li, 2023, PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel (arXiv 2304.11277).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from paretomerge.errors import TrainingError
from paretomerge.training.placement import Placement
from paretomerge.types import is_sharded, shard_like, whole

Result = TypeVar("Result")

CALL = "paretomerge_call"
"""A method that runs a function with the parameters at hand that lie in no block of their own."""


@dataclass(frozen=True)
class Sharding:
    """How a model is divided, see `accelerate config`.

    Args:
        blocks: classes of the layers that are gathered one after the other; those a model of transformers names
            itself when empty. What is in no such layer is gathered for the whole pass.
        reshard: whether a block is given back after the forward pass, and gathered again for the backward pass.
        checkpointing: whether activations inside a block are computed again in the backward pass (of models that can).
    """

    blocks: tuple[str, ...] = ()
    reshard: bool = True
    checkpointing: bool = False

    @classmethod
    def from_launcher(cls) -> Sharding:
        """What `accelerate launch --use_fsdp` was asked for."""
        named = os.environ.get("FSDP_TRANSFORMER_CLS_TO_WRAP", "")
        return cls(
            tuple(name.strip() for name in named.split(",") if name.strip()),
            os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() not in ("false", "no_shard", "shard_grad_op"),
            os.environ.get("FSDP_ACTIVATION_CHECKPOINTING", "").lower() == "true",
        )

    def blocks_of(self, module: nn.Module) -> list[nn.Module]:
        """The layers that are gathered one after the other, inner ones first.

        Raises:
            TrainingError: a class that was named, and that the module has not.
        """
        wanted = set(self.blocks) or set(getattr(module, "_no_split_modules", None) or ())
        found = [each for each in reversed(list(module.modules())) if type(each).__name__ in wanted]
        missing = set(self.blocks) - {type(each).__name__ for each in found}
        if missing:
            known = sorted({type(each).__name__ for each in module.modules()})
            raise TrainingError(
                f"the launcher names the layer {sorted(missing)[0]!r} (fsdp_transformer_layer_cls_to_wrap), which "
                f"{type(module).__name__} has not; its layers are {', '.join(known)[:300]}"
            )
        return [each for each in found if each is not module]


def shard(module: nn.Module, placement: Placement, sharding: Sharding) -> list[str]:
    """Divide a module among the processes, in place; parameters without memory get some. Returns notes.

    Args:
        module: on the CPU or without memory (see `build_empty`); values that it has are kept.
        placement: the processes.
        sharding: how.

    Raises:
        TrainingError: PyTorch is too old, or refuses the module.
    """
    try:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

        _ = FSDPModule.set_force_sum_reduction_for_comms
    except (ImportError, AttributeError) as error:
        raise TrainingError(
            f"FSDP needs a newer PyTorch than {torch.__version__}, one with fully_shard and sums of gradients: upgrade "
            "torch, or launch without --use_fsdp"
        ) from error
    blocks = sharding.blocks_of(module)
    notes = [] if blocks else [_note(module)]
    if sharding.checkpointing and hasattr(module, "gradient_checkpointing_enable"):
        module.gradient_checkpointing_enable()  # type: ignore[operator]
    mesh = init_device_mesh(placement.device.type, (placement.processes,))
    policy = MixedPrecisionPolicy(reduce_dtype=_sum_dtype(module))
    try:
        for block in blocks:
            fully_shard(block, mesh=mesh, reshard_after_forward=sharding.reshard, mp_policy=policy)
        fully_shard(module, mesh=mesh, reshard_after_forward=False, mp_policy=policy)
        for each in module.modules():
            if isinstance(each, FSDPModule):  # shares of a step are added, not averaged; children do not inherit it
                each.set_gradient_divide_factor(1.0)
                each.set_force_sum_reduction_for_comms(True)
        setattr(module, CALL, lambda function: function())
        register_fsdp_forward_method(module, CALL)
        module._apply(lambda tensor: _with_memory(tensor, placement.device))
    except Exception as error:
        raise TrainingError(
            f"PyTorch cannot divide {type(module).__name__} among processes: {type(error).__name__}: {error}. Launch "
            "it without --use_fsdp, or train an adapter (training.lora)"
        ) from error
    return notes


def call_whole(module: nn.Module, function: Callable[[], Result]) -> Result:
    """`function()`, in which all parts of a sharded module can be used; every process must call it."""
    call = getattr(module, CALL, None)
    return function() if call is None else call(function)


def give_back(module: nn.Module) -> None:
    """Forget parameters that were gathered: what is written into the parts counts from here on."""
    if hasattr(module, CALL):
        module.reshard()  # type: ignore[operator]


def gathered(state: Any, placement: Placement) -> Any:
    """Plain values and whole tensors on the CPU, out of mappings and lists that may hold sharded tensors.

    Every process must call it, with the same names in the same order. Only the first one gets the tensors that were
    sharded, the others get empty ones, so that one whole model is held once.
    """
    if isinstance(state, Tensor):
        if not is_sharded(state):
            return state
        found = whole(state)
        return found.cpu() if placement.process == 0 else torch.empty(0, dtype=state.dtype)
    if isinstance(state, Mapping):
        return {name: gathered(value, placement) for name, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(gathered(value, placement) for value in state)
    return state


def divided(state: Mapping[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """An optimizer's whole state, as `gathered` gave it, divided as the parameters of `optimizer` are."""
    saved = chain.from_iterable(group["params"] for group in state["param_groups"])
    own = chain.from_iterable(group["params"] for group in optimizer.param_groups)
    entries = dict(state["state"])
    for number, parameter in zip(saved, own, strict=True):
        if is_sharded(parameter) and number in entries:
            entries[number] = {
                name: shard_like(value, parameter) if _has_shape_of(value, parameter) else value
                for name, value in entries[number].items()
            }
    return {**state, "state": entries}


def _has_shape_of(value: Any, parameter: Tensor) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0 and value.shape == parameter.shape


def _with_memory(tensor: Tensor, device: torch.device) -> Tensor:
    return torch.empty_like(tensor, device=device) if tensor.is_meta else tensor.to(device)


def _sum_dtype(module: nn.Module) -> torch.dtype | None:
    """Gradients in reduced precision are added in float32."""
    dtypes = {parameter.dtype for parameter in module.parameters() if parameter.requires_grad}
    return torch.float32 if dtypes <= {torch.bfloat16, torch.float16} else None


def _note(module: nn.Module) -> str:
    return (
        f"{type(module).__name__} does not say which of its layers are blocks, so every pass gathers all of it; "
        "parameters, gradients and the optimizer's state are divided all the same. Name the class of its blocks by "
        "--fsdp_transformer_layer_cls_to_wrap"
    )
