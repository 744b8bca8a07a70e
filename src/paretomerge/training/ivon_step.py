"""IVON on one tensor: its first state, the noise before the gradient, and the update after it."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from paretomerge.errors import RecipeError, TrainingError
from paretomerge.types import Params, compute_dtype, is_sharded, shard_like, whole

PriorMean = Literal["start", "zero"] | Params

STALE = 0.5
"""Share of `hess_init` in the learned curvature above which a posterior of it says little."""


def first_state(parameter: Tensor, group: dict[str, Any], prior_mean: PriorMean) -> dict[str, Any]:
    """The state before the first step, in float32, or float64 for float64 parameters.

    Raises:
        RecipeError: the prior mean is given by name, and lacks this parameter or has it in another shape.
    """
    dtype = compute_dtype([parameter.dtype])
    start = parameter.detach().to(dtype, copy=True)
    state = {"step": 0, "momentum": torch.zeros_like(start), "hessian": torch.full_like(start, group["hess_init"])}
    if prior_mean != "zero":
        state["prior_mean"] = start if prior_mean == "start" else _named_prior(parameter, group, prior_mean)
    if parameter.dtype != dtype:
        state["mean"] = start.clone()
    return state


def counted_generator(group: dict[str, Any], number: int, device: torch.device) -> torch.Generator:
    """The noise of one draw of group `number`, from its seed and counter alone."""
    words = f"{group['seed']}|{number}|{group['draws']}".encode()
    seed = int.from_bytes(hashlib.blake2b(words, digest_size=4).digest(), "little")
    return torch.Generator(device).manual_seed(seed)


def draw_noise(hessian: Tensor, group: dict[str, Any], generator: torch.Generator) -> Tensor:
    """`σε` with `σ = 1/√(ess (h+δ))`; of a sharded parameter the part of what would be drawn for all of it."""
    noise = torch.randn(hessian.shape, generator=generator, dtype=hessian.dtype, device=hessian.device)
    if is_sharded(hessian):
        noise = shard_like(noise, hessian)
    return noise.mul_((hessian + group["weight_decay"]).mul_(group["ess"]).rsqrt_())


def take_step(
    parameter: Tensor, state: dict[str, Any], group: dict[str, Any], gradient: Tensor, product: Tensor
) -> None:
    """Update the state and the parameter, in place, in the order of the algorithm.

    Args:
        parameter: `m`, or its rounded copy when the state keeps `mean`.
        state: of the parameter.
        group: settings.
        gradient: `ĝ`.
        product: `ĝ(θ-m)`, the mean of gradient times displacement; overwritten.
    """
    decay, (beta1, beta2) = group["weight_decay"], group["betas"]
    momentum, hessian, mean = state["momentum"], state["hessian"], state.get("mean", parameter)
    state["step"] += 1
    momentum.mul_(beta1).add_(gradient, alpha=1 - beta1)
    damped = hessian + decay
    # ĥ = product/σ² and 1/σ² = ess (h+δ); with u = (1-β2)(ĥ-h)/(h+δ) the update is h+δ ← (h+δ)(1 + u + ½u²) > 0.
    change = product.mul_(damped).mul_(group["ess"]).sub_(hessian).mul_(1 - beta2)
    hessian.add_(change).addcdiv_(change.square(), damped, value=0.5)
    slope = momentum / (1 - beta1 ** state["step"])
    slope.add_(mean - state["prior_mean"] if "prior_mean" in state else mean, alpha=decay)
    slope.div_(hessian + decay)
    if group["clip_radius"] is not None:
        slope.clamp_(-group["clip_radius"], group["clip_radius"])
    scale = group["hess_init"] + decay if group["rescale_lr"] else 1.0
    mean.add_(slope, alpha=-group["lr"] * scale)
    if mean is not parameter:
        parameter.copy_(mean)


def _named_prior(parameter: Tensor, group: dict[str, Any], prior_mean: PriorMean) -> Tensor:
    if "param_names" not in group:
        raise RecipeError("a prior mean by name needs named parameters: Ivon(model.named_parameters(), ...)")
    assert not isinstance(prior_mean, str)
    position = next(i for i, candidate in enumerate(group["params"]) if candidate is parameter)
    name = group["param_names"][position]
    if name not in prior_mean:
        raise RecipeError(f"the prior mean lacks {name!r}: give the parameters of the base model")
    given = prior_mean[name]
    if given.shape != parameter.shape:
        raise RecipeError(f"the prior mean of {name!r} has shape {list(given.shape)}, not {list(parameter.shape)}")
    return shard_like(given.detach().to(compute_dtype([parameter.dtype])), parameter)


def require_finite(
    gathered: Mapping[Tensor, tuple[Tensor, Tensor]], states: Mapping[Tensor, Any], group: Mapping[str, Any]
) -> None:
    """Raise `TrainingError` for gradients that are not finite, with what probably made them so."""
    flags = [whole(product.isfinite().all()) for _, product in gathered.values()]
    finite = torch.stack([flag.to(flags[0].device) for flag in flags])
    if finite.all():
        return
    lowest = min(float(whole(states[parameter]["hessian"].min())) for parameter in gathered)
    noise = 1 / math.sqrt(group["ess"] * (lowest + group["weight_decay"]))
    raise TrainingError(
        f"{int((~finite).sum())} of {len(finite)} parameter tensors have NaN or infinite gradients. Likely causes: "
        f"too much noise for the model (its standard deviation is up to {noise:.3g}: raise hess_init or ess), too "
        f"high a learning rate ({group['lr']:.3g}: lower it or set clip_radius), or an overflow in float16"
    )


def require_learned(steps: int, beta2: float) -> None:
    """Raise `TrainingError` where no step was taken; warn where most of the curvature is what it was at the start."""
    if not steps:
        raise TrainingError(
            "IVON took no step on any of these parameters, so it learned no curvature of them: train first, and give "
            "the parameters of the model that this optimizer trained"
        )
    if beta2**steps > STALE:
        warnings.warn(
            f"{beta2**steps:.0%} of IVON's curvature is still hess_init after {steps} steps: betas[1]={beta2:g} "
            f"averages over about {1 / (1 - beta2):,.0f} steps. Take 1 - 4/steps, here {max(0.0, 1 - 4 / steps):.4g}, "
            "which leaves 2 % of it",
            stacklevel=4,
        )
