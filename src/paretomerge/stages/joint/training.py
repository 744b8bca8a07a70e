"""Joint finetuning of a run's tasks with given weights, kept in the run folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from paretomerge.checkpoints import Checkpoint, open_checkpoint
from paretomerge.checkpoints.atomic import make_folders, remove_abandoned, storage_errors
from paretomerge.errors import InputError, RecipeError, TrainingError
from paretomerge.posteriors import Provenance
from paretomerge.recipes import parse_recipe
from paretomerge.runs import Claims, EnergyMeter, Journal, evaluation_key
from paretomerge.stages.fitting.fit import fit_run
from paretomerge.stages.joint.trained import read_manifest, write_trained
from paretomerge.stages.landscape import Landscape, landscape_of
from paretomerge.stages.scoring.models import Progress, silent
from paretomerge.stages.study import Study
from paretomerge.training import Finetuned, TrainingRecipe, finetune
from paretomerge.training.placement import Placement, placement_of
from paretomerge.types import Ledger, Params, Split

Start = Literal["base", "merged"]

LOSSES = 1000
"""At most so many training losses go into a manifest."""


def training_recipe(study: Study, changes: Mapping[str, Any] | None = None) -> TrainingRecipe:
    """The settings of the run's recipe, some of them changed; `lora.rank` changes one setting of a part.

    Raises:
        RecipeError: an unknown setting, or a value that cannot be used.
    """
    settings = study.recipe.training.model_dump()
    for name, value in (changes or {}).items():
        part, dot, inner = name.partition(".")
        settings[part] = {**(settings.get(part) or {}), inner: value} if dot else value
    content = {**study.recipe.model_dump(mode="json"), "training": settings}
    return TrainingRecipe.of(parse_recipe(content, "training settings").training.model_dump())


def training_key(
    study: Study, weights: np.ndarray, recipe: TrainingRecipe, *, start: Start = "base", seed: int | None = None
) -> str:
    """What the result of a joint finetuning depends on: it names the checkpoint that is kept of it."""
    parts: dict[str, Any] = {"base": study.base.digest}
    if start == "merged":
        parts = {"merged": weights_landscape(study).digest}
    if recipe.patience is not None:
        parts["validation"] = study.problem_digest("validation")
    return evaluation_key(
        recipe=recipe.identity(),
        weights=np.asarray(weights, dtype=np.float64),
        seed=study.recipe.seed if seed is None else seed,
        data=study.problem_digest("training"),
        trained=True,
        **parts,
    )


def score_key(study: Study, training: str, split: Split) -> str:
    """What the scores of a trained checkpoint depend on, by its `training_key`."""
    return evaluation_key(training=training, evaluator=study.evaluator_digest(split), trained=True)


def weights_landscape(study: Study, progress: Progress = silent) -> Landscape:
    """The run's merged models at task weights.

    Raises:
        RecipeError: a front over coefficients, which are no weights of losses.
    """
    landscape = landscape_of(fit_run(study, progress))
    if not landscape.has_task_weights:
        raise RecipeError(
            f"front.domain: {study.recipe.front.domain} are no task weights, with which one could finetune jointly: "
            "give weights and train from the base, or set front.domain to weights"
        )
    return landscape


def require_one_process(verb: str) -> None:
    """Raise `InputError` in a process that a launcher started beside others: the verb would wait for itself."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            f"{verb} runs in one process: train on several devices with  accelerate launch -m paretomerge finetune RUN "
            f"OUT --weights a=0.6,b=0.4,  then run {verb} without a launcher, which finds what was trained"
        )


def joint_checkpoint(
    study: Study,
    journal: Journal,
    key: str,
    weights: np.ndarray,
    recipe: TrainingRecipe,
    progress: Progress,
    *,
    start: Start = "base",
    stage: str = "verify",
    seed: int | None = None,
    made: Finetuned | None = None,
) -> Checkpoint:
    """The jointly finetuned checkpoint at one weighting, trained now unless it is there; interrupted, it continues.

    The processes that `accelerate launch` started call it together; the first one writes.

    Args:
        study: the run.
        journal: charged for what is trained.
        key: `training_key`, or anything that depends on more; the folder is named by it.
        weights: `[T]`, on the simplex.
        recipe: optimizer, schedule, batch.
        progress: called with short messages.
        start: the base, or the run's merged model at these weights.
        stage: the ledger's entry that is charged.
        seed: the recipe's when `None`.
        made: what a worker has trained with these settings: it is kept as if it had been trained here.

    Raises:
        RecipeError: a recipe without a problem.
        TrainingError: training broke, or another process trains the same now.
        StorageError: the disk refused.
    """
    folder = study.folder.trained / key[:16]
    placement = placement_of(recipe.device)
    if placement.process == 0:
        with storage_errors(folder):
            remove_abandoned(folder)
        _settle(study, journal, folder, stage)
    # The first process decides for all: they train together or not at all.
    if not int(placement.gather(torch.tensor(folder.is_dir()).int())[0]):
        with _only_here(journal, key, placement):
            seed = study.recipe.seed if seed is None else seed
            _train(study, journal, folder, weights, recipe, progress, start, stage, seed, placement, made)
    return open_checkpoint(folder)


def _train(
    study: Study,
    journal: Journal,
    folder: Path,
    weights: np.ndarray,
    recipe: TrainingRecipe,
    progress: Progress,
    start: Start,
    stage: str,
    seed: int,
    placement: Placement,
    made: Finetuned | None = None,
) -> None:
    alpha = dict(zip(study.tasks, np.asarray(weights, dtype=np.float64).tolist(), strict=True))
    is_first = placement.process == 0
    with EnergyMeter() as meter:
        result = made or finetune(
            study.require_problem("joint finetuning"),
            _start_of(study, weights, start, progress, streamed=placement.sharded),
            alpha,
            recipe,
            seed,
            on_step=_reporter(progress if is_first else silent, recipe.steps, alpha, start),
            folder=study.folder.training / folder.name,
            keep_folder=True,
            on_message=progress if is_first else silent,
        )
        ledger = meter.charged(result.ledger)
    try:
        if is_first:
            manifest = {
                "kind": "jointly finetuned",
                "weights": alpha,
                "start": start,
                "training": recipe.identity(),
                "seed": seed,
                "base": {"name": Path(study.recipe.base).name, "digest": study.base.digest},
                "ledger": asdict(ledger),
                **_told(result),
            }
            provenance = _provenance(study, recipe, alpha, start)
            with storage_errors(folder):
                # Until it is gone, the training may be kept and not yet charged.
                make_folders(study.folder.training / folder.name)
            write_trained(folder, result, study.base, provenance, manifest, from_base=start == "base")
            _settle(study, journal, folder, stage)
    finally:
        placement.wait()


def _settle(study: Study, journal: Journal, folder: Path, stage: str) -> None:
    """Charge a training that is kept, once, and remove what it needed to go on; a process may be killed in between."""
    left = study.folder.training / folder.name
    if not (folder.is_dir() and left.is_dir()):
        return
    if journal.fact(fact := f"charged {folder.name}") is None:
        journal.conclude({fact: stage}, (stage, Ledger(**read_manifest(folder)["ledger"])))
    shutil.rmtree(left, ignore_errors=True)
    with suppress(OSError):  # it is not empty: others train
        study.folder.training.rmdir()


def _start_of(study: Study, weights: np.ndarray, start: Start, progress: Progress, *, streamed: bool) -> Params:
    """Where training starts; `streamed` for models that no process can hold, which are merged into their places."""
    if start == "base":
        return study.base
    landscape = weights_landscape(study, progress)
    if streamed:
        return fit_run(study, progress).streamed(np.asarray(weights))
    return next(iter(landscape.models(np.asarray(weights)[None])))


def _told(result: Finetuned) -> dict[str, Any]:
    """What the training says of itself, for the manifest."""
    return {
        "steps": result.steps,
        "stopped": result.stopped,
        "scales": dict(result.scales),
        "losses": [float(f"{loss:.6g}") for loss in result.history[:: 1 + len(result.history) // LOSSES]],
        "checks": [asdict(check) for check in result.checks],
    }


def _provenance(study: Study, recipe: TrainingRecipe, alpha: Mapping[str, float], start: Start) -> Provenance:
    clipped = recipe.max_norm is not None
    what = "curvature of the weighted loss Σ α mean loss" + (", losses scaled" * (recipe.normalise != "none"))
    shown = ", ".join(f"{task}={weight:g}" for task, weight in alpha.items())
    return Provenance(
        "ivon" if recipe.ivon else "adam",
        "trajectory",
        examples=recipe.steps * recipe.batch_size(alpha),
        units="relative" if clipped else "mean",
        scale=what + (", after gradient clipping, which loses the scale" if clipped else ""),
        base=study.base.digest,
        base_name=Path(study.recipe.base).name,
        settings=f"weights {shown}; start={start}; steps={recipe.steps}",
    )


@contextmanager
def _only_here(journal: Journal, key: str, placement: Placement) -> Iterator[None]:
    """Two commands that train the same would write the same training checkpoints."""
    claims = Claims(journal)
    try:
        if placement.process == 0 and not claims.take(f"training {key}"):
            raise TrainingError(
                "another process trains with these weights and settings now: wait for it, and run this command again"
            )
        yield
    finally:
        claims.close()


def _reporter(progress: Progress, steps: int, alpha: Mapping[str, float], start: Start) -> Callable[[int, float], None]:
    shown = ", ".join(f"{task}={weight:.3g}" for task, weight in alpha.items())
    origin = " from the merge" if start == "merged" else ""

    def report(step: int, loss: float) -> None:
        if step % max(1, steps // 20) == 0:
            progress(f"joint finetuning at {shown}{origin}: step {step} of {steps}, loss {loss:.3f}")

    return report
