"""Finetune one task, or a mixture of tasks with weights `α`, from the base or from a merged model.

    L(θ) = Σ_t α_t · mean loss of task t

Every step draws examples of every task with positive weight, as many as the recipe says, and weighs their means by
`α`: the gradient is unbiased for `∇L` whatever the sizes of the data sets and the mix of the batch. A corner of the
simplex is a single-task finetune by the same recipe.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from paretomerge.curvature.likelihoods import likelihood_of
from paretomerge.errors import TrainingError
from paretomerge.posteriors import Diagonal
from paretomerge.training.examples import ExamplePool
from paretomerge.training.inputs import join_inputs, join_targets
from paretomerge.training.optimizers import make_optimizer, posterior_of, samples_of
from paretomerge.training.recipe import TrainingRecipe
from paretomerge.types import Batch, Ledger, Params, Problem, Weights, call_module, load_in_place


@dataclass(frozen=True, eq=False)
class Finetuned:
    """The result of a training run.

    Args:
        params: the parameters; of IVON the mean.
        history: training loss of every step; of IVON at the sampled parameters.
        ledger: the cost.
        posterior: bare curvature that the training itself gives at no cost, without prior: IVON's Hessian (see
            `Ivon.posterior`), or AdamW's second moments, which are no Fisher matrix (see `curvature.adam_posterior`).
    """

    params: dict[str, Tensor]
    history: tuple[float, ...]
    ledger: Ledger
    posterior: Diagonal


def finetune(
    problem: Problem,
    start: Params,
    weights: Mapping[str, float] | Weights,
    recipe: TrainingRecipe = TrainingRecipe(),
    seed: int = 0,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> Finetuned:
    """Finetune from `start` with task weights `α`.

    Args:
        problem: model and data; its training split is used.
        start: where to start: the base, or a merged model (warm start). IVON's prior is centred here.
        weights: `α`, on the simplex.
        recipe: optimizer, schedule, batch.
        seed: order of the examples, dropout, and IVON's noise.
        on_step: called with the step and its loss.

    Raises:
        TrainingError: the loss or a parameter became NaN or infinite, or torch refused a step.
        WeightsError: weights outside the simplex, or for unknown tasks.
    """
    started = time.perf_counter()
    alpha = Weights.of(weights, problem.tasks).as_mapping()
    pools = {
        task: ExamplePool(problem.batches(task, "training"), seed * 1009 + number)
        for number, task in enumerate(problem.tasks)
        if alpha[task] > 0
    }
    history = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = problem.build().train()
        load_in_place(module, start)
        optimizer = make_optimizer(module, recipe, sum(map(len, pools.values())), seed)
        for step, loss in enumerate(_descend(module, optimizer, pools, alpha, recipe, problem.likelihood)):
            history.append(loss)
            on_step(step, loss)
    params = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    # The last step's parameters were never run.
    broken = [name for name, tensor in params.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise _diverged(f"{broken[0]!r} is not finite after {recipe.steps} steps", recipe)
    passes = recipe.steps * sum(recipe.counts(alpha).values()) * (recipe.ivon.samples if recipe.ivon else 1)
    ledger = Ledger(1, passes, 0, time.perf_counter() - started)
    return Finetuned(
        params, tuple(history), ledger, posterior_of(optimizer, module, sum(recipe.counts(alpha).values()))
    )


def _descend(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    pools: Mapping[str, ExamplePool],
    alpha: Mapping[str, float],
    recipe: TrainingRecipe,
    likelihood: str,
) -> Iterator[float]:
    """Take the recipe's steps; yields the loss before each, once the step is done."""
    counts = recipe.counts(alpha)
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.peak_rate * recipe.rate(step)
        try:
            optimizer.zero_grad(set_to_none=True)
            batch = {task: pool.draw(counts[task]) for task, pool in pools.items()}
            losses = []
            for sampled in samples_of(optimizer, recipe):
                with sampled:
                    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                        loss = loss_of_batch(module, batch, alpha, likelihood)
                    losses.append(float(loss.detach()))
                    if not math.isfinite(losses[-1]):
                        raise _diverged(f"the loss became {losses[-1]} at step {step} of {recipe.steps}", recipe)
                    loss.backward()
            if recipe.max_norm is not None:
                nn.utils.clip_grad_norm_(module.parameters(), recipe.max_norm)
            optimizer.step()
        except RuntimeError as error:
            raise TrainingError(f"training broke at step {step} of {recipe.steps}: {error}") from error
        yield sum(losses) / len(losses)


def _diverged(what: str, recipe: TrainingRecipe) -> TrainingError:
    clip = "clip gradients (max_norm)" if recipe.ivon is None else "raise ivon.hess_init, or clip (ivon.clip_radius)"
    return TrainingError(f"training diverged: {what}: lower the learning rate ({recipe.peak_rate:g}) or {clip}")


def weighted_loss(
    module: nn.Module,
    pools: Mapping[str, ExamplePool],
    alpha: Mapping[str, float],
    counts: Mapping[str, int],
    likelihood: str,
) -> Tensor:
    """`Σ_t α_t · mean loss` over `counts[t]` fresh examples of every task, in one forward pass."""
    return loss_of_batch(module, {task: pool.draw(counts[task]) for task, pool in pools.items()}, alpha, likelihood)


def loss_of_batch(module: nn.Module, batch: Mapping[str, Batch], alpha: Mapping[str, float], likelihood: str) -> Tensor:
    """`Σ_t α_t · mean loss` over the examples of every task, in one forward pass."""
    weights = torch.cat(
        [
            torch.full((len(targets),), alpha[task] / len(targets), dtype=torch.float64)
            for task, (_, targets) in batch.items()
        ]
    )
    outputs = call_module(module, join_inputs([inputs for inputs, _ in batch.values()]))
    # Reduced precision ends here: losses are summed in float32 or better.
    outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    targets = join_targets([targets for _, targets in batch.values()])
    losses = likelihood_of(likelihood).losses(outputs, targets)
    return (losses * weights.to(losses.dtype)).sum()
