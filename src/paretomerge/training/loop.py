"""Finetune one task, or a mixture of tasks with weights `α`, from the base or from a merged model.

    L(θ) = Σ_t α_t · mean loss of task t

Every step draws examples of every task with positive weight, as many as the recipe says, and weighs their means by
`α`: the gradient is unbiased for `∇L` whatever the sizes of the data sets and the mix of the batch, and whether a step
is divided among passes or processes. A corner of the simplex is a single-task finetune by the same recipe.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from paretomerge.errors import RecipeError
from paretomerge.posteriors import Diagonal
from paretomerge.training.batches import StepBatches
from paretomerge.training.lora import Adapter, InjectedAdapter, inject_adapter
from paretomerge.training.losses import TaskLoss
from paretomerge.training.optimizers import make_optimizer, posterior_of, sharded_posterior_of
from paretomerge.training.placement import Placement, launcher_notes, placement_of
from paretomerge.training.precision import Precision
from paretomerge.training.progress import Progress
from paretomerge.training.randomness import own_randomness, part_ways
from paretomerge.training.recipe import TrainingRecipe
from paretomerge.training.resume import TrainingFolder, identity_of
from paretomerge.training.sharding import Sharding, gathered, give_back, shard
from paretomerge.training.steps import Training, diverged
from paretomerge.training.validation import Check
from paretomerge.types import Ledger, Params, Problem, Weights, build_empty, load_in_place, own_part


@dataclass(frozen=True, eq=False)
class Finetuned:
    """The result of a training run, on the CPU; the same in every process.

    Of a sharded model (FSDP) the first process alone has the result: elsewhere `params` is empty, and `posterior` and
    `adapter` are `None`.

    Args:
        params: the parameters; of IVON the mean.
        history: training loss of every step; of IVON at the sampled parameters.
        ledger: the cost.
        posterior: bare curvature that the training itself gives at no cost, without prior: IVON's Hessian (see
            `Ivon.posterior`), or AdamW's second moments, which are no Fisher matrix (see `curvature.adam_posterior`).
            Its mean is `params`; its curvature is that of the last step, also where earlier parameters were kept.
        scales: task → what its loss was divided by; 1 unless the recipe normalises.
        checks: looks at the validation loss, oldest first.
        steps: how many steps led to `params`.
        stopped: what happened where training stopped early; else empty.
        adapter: the low-rank adapter that was trained, if one was.
    """

    params: dict[str, Tensor]
    history: tuple[float, ...]
    ledger: Ledger
    posterior: Diagonal | None
    scales: Mapping[str, float] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    steps: int = 0
    stopped: str = ""
    adapter: Adapter | None = None


def finetune(
    problem: Problem,
    start: Params,
    weights: Mapping[str, float] | Weights,
    recipe: TrainingRecipe = TrainingRecipe(),
    seed: int = 0,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    *,
    folder: str | os.PathLike[str] | None = None,
    keep_folder: bool = False,
    on_message: Callable[[str], None] = lambda text: None,
) -> Finetuned:
    """Finetune from `start` with task weights `α`.

    Under `accelerate launch` or `torchrun` every process calls this with the same arguments, gets the same result,
    and does its part of each step; the first alone writes and reports. Dropout differs between processes, IVON's noise
    does not. Without a launcher, accelerate is not needed. With `accelerate launch --use_fsdp` every process holds a
    part of the model and of the optimizer's state.

    Args:
        problem: model and data; its training split is used, and its validation split if the recipe checks it.
        start: where to start: the base, or a merged model (warm start). IVON's prior is centred here.
        weights: `α`, on the simplex.
        recipe: optimizer, schedule, batch.
        seed: order of the examples, dropout, and IVON's noise.
        on_step: called with the step and its loss.
        folder: where a training checkpoint is kept on the way. The same call goes on from it, bit by bit as if it had
            not been interrupted; it is removed at the end. Every process must see it.
        keep_folder: leave the last checkpoint there at the end, for a caller that removes it once the result is safe.
        on_message: called with what there is to say aloud: scales of losses, a training that goes on or stops early.

    Raises:
        TrainingError: the loss or a parameter became NaN or infinite, or torch refused a step.
        WeightsError: weights outside the simplex, or for unknown tasks.
        DataError: a split without examples, or a `loss_fn` that returns no losses.
        RecipeError: a device that is not there, an adapter that does not fit the model, or float16 of a sharded model.
        CheckpointError: `folder` has the checkpoint of another training.
        StorageError: the disk refused a checkpoint.
        MissingExtraError: several processes without accelerate, or an adapter without peft.
    """
    alpha = Weights.of(weights, problem.tasks).as_mapping()
    placement = placement_of(recipe.device)
    _require_possible(recipe, placement)
    if placement.process:
        on_step, on_message = (lambda step, loss: None), (lambda text: None)
    for note in launcher_notes(recipe.precision):
        on_message(note)
    batches = StepBatches(problem, alpha, recipe, seed)
    validation = {task: problem.batches(task, "validation") for task in (batches.pools if recipe.check_every else ())}
    kept = None
    if folder is not None:
        identity = identity_of(problem, start, alpha, recipe, seed, batches.pools, validation)
        kept = TrainingFolder(Path(folder), identity)
    with own_randomness(seed, placement):
        training, adapter = _begin(problem, start, batches, recipe, placement, seed, on_message)
        progress = Progress(training, alpha, validation, kept, on_message)
        for step in range(progress.begin(), recipe.steps):
            on_step(step, progress.advance(step))
            if progress.look(step + 1):
                break
        result = (_finish_sharded if placement.sharded else _finish)(progress, adapter, alpha, problem)
    placement.wait()
    if kept is not None and placement.process == 0 and not keep_folder:
        kept.remove()
    return result


def _begin(
    problem: Problem,
    start: Params,
    batches: StepBatches,
    recipe: TrainingRecipe,
    placement: Placement,
    seed: int,
    on_message: Callable[[str], None],
) -> tuple[Training, InjectedAdapter | None]:
    """The model at its start, with its optimizer."""
    if placement.sharded and recipe.lora is None:
        module, adapter = build_empty(problem.build).train(), None
        for note in shard(module, placement, Sharding.from_launcher()):
            on_message(note)
        load_in_place(module, start)
    else:
        # An adapter's matrices are drawn at random, beside the parameters of the model.
        module = problem.build().train()
        load_in_place(module, start)
        adapter = None if recipe.lora is None else inject_adapter(module, recipe.lora)
        for note in shard(module, placement, Sharding.from_launcher()) if placement.sharded else ():
            on_message(note)
    module.to(placement.device)
    optimizer = make_optimizer(module, recipe, sum(map(len, batches.pools.values())), seed)
    part_ways(seed, placement)
    precision = Precision(recipe.precision, placement.device)
    training = Training(module, optimizer, batches, TaskLoss.of(problem), recipe, placement, precision, seed)
    return training, adapter


def _require_possible(recipe: TrainingRecipe, placement: Placement) -> None:
    """Raise `RecipeError` for what a sharded model cannot be trained with."""
    if placement.sharded and recipe.precision == "float16":
        raise RecipeError(
            "training.precision: float16 scales losses and skips steps, which is not done for models that are divided "
            "among processes (FSDP): set it to bfloat16"
        )


def _finish(
    progress: Progress, adapter: InjectedAdapter | None, alpha: Mapping[str, float], problem: Problem
) -> Finetuned:
    """The result, on the CPU; the checks for what no step would notice."""
    training = progress.training
    progress.keep_best()
    module = training.module.cpu()
    # The last step's parameters were never run.
    for name, tensor in module.state_dict().items():
        _require_finite(name, tensor, progress)
    posterior = posterior_of(training.optimizer, module, training.recipe.batch_size(alpha))
    if adapter is not None:
        return _result(progress, alpha, adapter.params(), adapter.posterior(posterior), adapter.adapter())
    whole = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    return _result(progress, alpha, whole, posterior)


def _finish_sharded(
    progress: Progress, adapter: InjectedAdapter | None, alpha: Mapping[str, float], problem: Problem
) -> Finetuned:
    """The same of a sharded model: gathered tensor by tensor into the memory of the first process."""
    training = progress.training
    progress.keep_best()
    module, placement = training.module, training.placement
    give_back(module)
    whole = {}
    for name, tensor in module.state_dict().items():
        _require_finite(name, own_part(tensor), progress)
        whole[name] = gathered(tensor.detach(), placement).to("cpu", copy=True)
    batch = training.recipe.batch_size(alpha)
    posterior = sharded_posterior_of(training.optimizer, module, whole, batch, placement)
    if posterior is None:
        return _result(progress, alpha, {}, None)
    if adapter is None:
        return _result(progress, alpha, whole, posterior)
    assert training.recipe.lora is not None
    alone = problem.build()
    injected = inject_adapter(alone, training.recipe.lora)
    load_in_place(alone, whole)
    return _result(progress, alpha, injected.params(), injected.posterior(posterior), injected.adapter())


def _result(
    progress: Progress,
    alpha: Mapping[str, float],
    params: dict[str, Tensor],
    posterior: Diagonal | None,
    adapter: Adapter | None = None,
) -> Finetuned:
    training, recipe = progress.training, progress.training.recipe
    passes = len(progress.history) * recipe.batch_size(alpha) * (recipe.ivon.samples if recipe.ivon else 1)
    return Finetuned(
        params,
        tuple(progress.history),
        Ledger(1, passes, progress.evaluations, progress.seconds),
        posterior,
        dict(training.batches.scales),
        tuple(progress.stopping.checks),
        progress.kept_steps,
        progress.stopping.told(recipe.steps),
        adapter,
    )


def _require_finite(name: str, tensor: Tensor, progress: Progress) -> None:
    """Raise `TrainingError` in every process where one of them has a number that is not finite."""
    if not tensor.is_floating_point():
        return
    placement = progress.training.placement
    broken = torch.tensor(not tensor.isfinite().all(), dtype=torch.int32)
    if int(placement.sum(broken) if placement.sharded else broken):
        what = f"{name!r} is not finite after {len(progress.history)} steps"
        raise diverged(what, progress.training.recipe)
