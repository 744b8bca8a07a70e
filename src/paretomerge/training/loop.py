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

from torch import Tensor

from paretomerge.posteriors import Diagonal
from paretomerge.training.batches import StepBatches
from paretomerge.training.lora import Adapter, InjectedAdapter, inject_adapter
from paretomerge.training.losses import TaskLoss
from paretomerge.training.optimizers import make_optimizer, posterior_of
from paretomerge.training.placement import Placement, launcher_notes, placement_of
from paretomerge.training.precision import Precision
from paretomerge.training.progress import Progress
from paretomerge.training.randomness import own_randomness, part_ways
from paretomerge.training.recipe import TrainingRecipe
from paretomerge.training.resume import TrainingFolder, identity_of
from paretomerge.training.steps import Training, diverged
from paretomerge.training.validation import Check
from paretomerge.types import Ledger, Params, Problem, Weights, load_in_place


@dataclass(frozen=True, eq=False)
class Finetuned:
    """The result of a training run, on the CPU; the same in every process.

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
    posterior: Diagonal
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
    does not. Without a launcher, accelerate is not needed.

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
        RecipeError: a device that is not there, or an adapter that does not fit the model.
        CheckpointError: `folder` has the checkpoint of another training.
        StorageError: the disk refused a checkpoint.
        MissingExtraError: several processes without accelerate, or an adapter without peft.
    """
    alpha = Weights.of(weights, problem.tasks).as_mapping()
    placement = placement_of(recipe.device)
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
        training, adapter = _begin(problem, start, batches, recipe, placement, seed)
        progress = Progress(training, alpha, validation, kept, on_message)
        for step in range(progress.begin(), recipe.steps):
            on_step(step, progress.advance(step))
            if progress.look(step + 1):
                break
        result = _finish(progress, adapter, alpha)
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
) -> tuple[Training, InjectedAdapter | None]:
    """The model at its start, with its optimizer."""
    module = problem.build().train()
    load_in_place(module, start)
    adapter = None if recipe.lora is None else inject_adapter(module, recipe.lora)
    module.to(placement.device)
    optimizer = make_optimizer(module, recipe, sum(map(len, batches.pools.values())), seed)
    part_ways(seed, placement)
    precision = Precision(recipe.precision, placement.device)
    training = Training(module, optimizer, batches, TaskLoss.of(problem), recipe, placement, precision, seed)
    return training, adapter


def _finish(progress: Progress, adapter: InjectedAdapter | None, alpha: Mapping[str, float]) -> Finetuned:
    """The result, on the CPU; the checks for what no step would notice."""
    training, recipe = progress.training, progress.training.recipe
    progress.keep_best()
    module = training.module.cpu()
    taken = len(progress.history)
    # The last step's parameters were never run.
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise diverged(f"{name!r} is not finite after {taken} steps", recipe)
    batch = recipe.batch_size(alpha)
    passes = taken * batch * (recipe.ivon.samples if recipe.ivon else 1)
    posterior = posterior_of(training.optimizer, module, batch)
    whole = {} if adapter else {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    return Finetuned(
        whole if adapter is None else adapter.params(),
        tuple(progress.history),
        Ledger(1, passes, progress.evaluations, progress.seconds),
        posterior if adapter is None else adapter.posterior(posterior),
        dict(training.batches.scales),
        tuple(progress.stopping.checks),
        progress.kept_steps,
        progress.stopping.told(recipe.steps),
        None if adapter is None else adapter.adapter(),
    )
