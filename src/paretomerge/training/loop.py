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

from paretomerge.errors import TrainingError
from paretomerge.training.examples import ExamplePool
from paretomerge.training.inputs import join_inputs
from paretomerge.training.recipe import TrainingRecipe
from paretomerge.types import Ledger, Params, Problem, Weights, call_module, load_in_place


@dataclass(frozen=True, eq=False)
class Finetuned:
    """The result of a training run: parameters, training loss per step, and the cost."""

    params: dict[str, Tensor]
    history: tuple[float, ...]
    ledger: Ledger


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
        start: where to start: the base, or a merged model (warm start).
        weights: `α`, on the simplex.
        recipe: optimizer, schedule, batch.
        seed: order of the examples, and dropout.
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
        for step, loss in enumerate(_descend(module, pools, alpha, recipe, problem.likelihood)):
            history.append(loss)
            on_step(step, loss)
    params = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    # The last step's parameters were never run.
    broken = [name for name, tensor in params.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise _diverged(f"{broken[0]!r} is not finite after {recipe.steps} steps", recipe)
    passes = recipe.steps * sum(recipe.counts(alpha).values())
    return Finetuned(params, tuple(history), Ledger(1, passes, 0, time.perf_counter() - started))


def _descend(
    module: nn.Module,
    pools: Mapping[str, ExamplePool],
    alpha: Mapping[str, float],
    recipe: TrainingRecipe,
    likelihood: str,
) -> Iterator[float]:
    """Take the recipe's steps; yields the loss before each, once the step is done."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    counts = recipe.counts(alpha)
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * recipe.rate(step)
        try:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                loss = weighted_loss(module, pools, alpha, counts, likelihood)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise _diverged(f"the loss became {value} at step {step} of {recipe.steps}", recipe)
            loss.backward()
            if recipe.max_norm is not None:
                nn.utils.clip_grad_norm_(parameters, recipe.max_norm)
            optimizer.step()
        except RuntimeError as error:
            raise TrainingError(f"training broke at step {step} of {recipe.steps}: {error}") from error
        yield value


def _diverged(what: str, recipe: TrainingRecipe) -> TrainingError:
    return TrainingError(
        f"training diverged: {what}: lower the learning rate ({recipe.learning_rate:g}) or clip gradients (max_norm)"
    )


def weighted_loss(
    module: nn.Module,
    pools: Mapping[str, ExamplePool],
    alpha: Mapping[str, float],
    counts: Mapping[str, int],
    likelihood: str,
) -> Tensor:
    """`Σ_t α_t · mean loss` over `counts[t]` fresh examples of every task, in one forward pass."""
    drawn = {task: pool.draw(counts[task]) for task, pool in pools.items()}
    weights = torch.cat(
        [torch.full((counts[task],), alpha[task] / counts[task], dtype=torch.float64) for task in drawn]
    )
    outputs = call_module(module, join_inputs([inputs for inputs, _ in drawn.values()]))
    # Reduced precision ends here: losses are summed in float32 or better.
    outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    targets = torch.cat([targets for _, targets in drawn.values()])
    if likelihood == "categorical":
        losses = nn.functional.cross_entropy(outputs, targets, reduction="none")
    else:
        losses = 0.5 * (outputs - targets).square().sum(-1)
    return (losses * weights.to(losses.dtype)).sum()
