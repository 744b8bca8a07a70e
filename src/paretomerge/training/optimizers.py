"""The optimizer of a recipe, and what differs between AdamW and IVON in a training loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from torch import nn
from torch.optim import AdamW, Optimizer

from paretomerge.curvature import adam_posterior
from paretomerge.posteriors import Diagonal
from paretomerge.training.ivon import Ivon
from paretomerge.training.placement import Placement
from paretomerge.training.recipe import TrainingRecipe
from paretomerge.training.sharding import gathered
from paretomerge.types import Params


def make_optimizer(module: nn.Module, recipe: TrainingRecipe, examples: int, seed: int) -> Optimizer:
    """The recipe's optimizer over the parameters that are not frozen.

    Args:
        module: at the parameters where training starts.
        recipe: optimizer and its settings.
        examples: training examples in all: IVON's effective sample size unless the recipe gives another.
        seed: of IVON's noise.
    """
    trained = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    if recipe.ivon is None:
        return AdamW([tensor for _, tensor in trained], lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    settings = recipe.ivon.for_run(recipe.steps, examples)
    return Ivon(trained, **settings, prior_mean=recipe.ivon.prior, seed=seed)


def samples_of(optimizer: Optimizer, recipe: TrainingRecipe) -> Iterator[AbstractContextManager[None]]:
    """The contexts in which the passes of one step run, one after the other: for AdamW one that does nothing."""
    if isinstance(optimizer, Ivon) and recipe.ivon is not None:
        for _ in range(recipe.ivon.samples):
            yield optimizer.sampled_params()
    else:
        yield nullcontext()


def posterior_of(optimizer: Optimizer, module: nn.Module, batch_size: int) -> Diagonal:
    """What the optimizer learned of the curvature on its way: IVON's Hessian, or AdamW's second moments.

    Args:
        optimizer: after training.
        module: at the final parameters.
        batch_size: examples of one step.
    """
    if isinstance(optimizer, Ivon):
        found = optimizer.posterior(module.state_dict(keep_vars=True).items())
        # The optimizer's state may be on another device than the module by now.
        return replace(found, precision={name: h.to(found.mean[name].device) for name, h in found.precision.items()})
    found = adam_posterior(optimizer.state_dict(), module, batch_size=batch_size)
    return replace(found, mean={name: tensor.clone() for name, tensor in found.mean.items()})


def sharded_posterior_of(
    optimizer: Optimizer, module: nn.Module, whole: Params, batch_size: int, placement: Placement
) -> Diagonal | None:
    """`posterior_of` of a sharded model, one tensor at a time, in the first process; `None` in the others.

    Every process must call it. The means are the tensors of `whole`, the module's parameters and buffers as the first
    process has gathered them.
    """
    if isinstance(optimizer, Ivon):
        optimizer.require_learned(module.parameters())
        named = module.state_dict(keep_vars=True).items()
        learned = {name: gathered(optimizer.learned(tensor)[1], placement) for name, tensor in named}
        precision = {name: h.cpu() for name, h in learned.items() if h is not None}
        return None if placement.process else Diagonal(whole, precision)
    state = optimizer.state_dict()
    needed = ("step", "exp_avg_sq")
    entries = {n: {key: entry[key] for key in needed if key in entry} for n, entry in state["state"].items()}
    moments = gathered({**state, "state": entries}, placement)
    trained = {name: whole[name] for name, parameter in module.named_parameters() if parameter.requires_grad}
    return None if placement.process else adam_posterior(moments, [trained], batch_size=batch_size)
