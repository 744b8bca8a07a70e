"""`finetune`: train a run's tasks jointly with chosen weights, from the base or from the merged model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paretomerge.checkpoints import Checkpoint, open_checkpoint
from paretomerge.checkpoints.paths import user_path
from paretomerge.checkpoints.writing.writer import require_free_target
from paretomerge.errors import DataError, InputError
from paretomerge.runs import Journal, evaluation_key
from paretomerge.stages.choose import CHOSEN, point_of
from paretomerge.stages.evaluating.evaluators import tells_splits_apart
from paretomerge.stages.joint.trained import ADAPTER, POSTERIOR, copy_trained, read_manifest
from paretomerge.stages.joint.training import (
    Start,
    joint_checkpoint,
    score_key,
    training_key,
    training_recipe,
    weights_landscape,
)
from paretomerge.stages.measuring.merged import score_merged
from paretomerge.stages.scoring.models import Progress, score_models, silent
from paretomerge.stages.study import Study
from paretomerge.training.placement import Placement, placement_of
from paretomerge.types import Ledger, Scores, Split, Weights
from paretomerge.types.weights import require_tasks

STAGE = "finetune"


@dataclass(frozen=True, eq=False)
class FinetuneSummary:
    """A joint finetuning, and what it changed.

    Args:
        folder: the model: a Hugging Face directory with `posterior.safetensors`, and `adapter/` where one was trained.
        weights: task weights of the loss.
        start: the base, or the run's merged model at these weights.
        seed: of the training.
        training: the settings that its result depends on.
        before, after: split → scores of the model at the start and at the end.
        scales: task → what its loss was divided by.
        stopped: why and when the training ended early; empty when it took all steps.
        ledger: what the training cost, in whatever sitting.
        reused: whether it had been trained before.
        posterior: the file of what the optimizer learned of the curvature; none of an adapter on top of a merge.
        adapter: the folder of the adapter alone, if one was trained from the base.
    """

    folder: Path
    weights: dict[str, float]
    start: Start
    seed: int
    training: dict[str, Any]
    before: dict[Split, Scores]
    after: dict[Split, Scores]
    scales: dict[str, float]
    stopped: str
    ledger: Ledger
    reused: bool
    posterior: Path | None
    adapter: Path | None

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "folder": str(self.folder),
            "weights": self.weights,
            "start": self.start,
            "seed": self.seed,
            "training": self.training,
            "scores": scores_as_dict(self.before, self.after),
            "scales": self.scales,
            "stopped": self.stopped,
            "ledger": asdict(self.ledger),
            "reused": self.reused,
            "posterior": _text(self.posterior),
            "adapter": _text(self.adapter),
        }


def finetune_run(
    study: Study,
    out: str | os.PathLike[str],
    weights: Mapping[str, float] | None = None,
    *,
    point: str | int | None = None,
    start: Start = "base",
    training: Mapping[str, Any] | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> FinetuneSummary | None:
    """Train all tasks of a run together, `Σ_t α_t · mean loss of task t`, and write the model.

    The training is kept in the run folder: interrupted, the same call continues; run again, it is not repeated, and
    `verify` has one weighting less to train. Processes that `accelerate launch` started call it together.

    Args:
        study: the run; its task checkpoints are needed only for a point and a warm start.
        out: the folder to write: weights, side files of the base, posterior, adapter, and `paretomerge.json` with how
            it was trained and the scores before and after.
        weights: task weights `α` on the simplex; a single task has weight one.
        point: instead of weights those of a point of the front, by its number or as `"chosen"`; which is also what is
            taken without either.
        start: the base, or (a warm start) the run's merged model at these weights.
        training: changes to the recipe's training settings, such as `{"steps": 50, "lora.rank": 8}`.
        seed: the recipe's when `None`.
        overwrite: replace an existing checkpoint.
        progress: called with short messages.

    Returns:
        What was made; `None` in all processes but the first.

    Raises:
        InputError: both weights and a point, no such point, or nothing chosen yet.
        WeightsError: weights off the simplex, or of unknown tasks.
        RecipeError: a recipe without a problem, unknown settings, or a front over coefficients.
        CheckpointError: `out` is not empty, or a task's checkpoint is missing where it is needed.
        TrainingError: training broke.
        StorageError: the disk refused; nothing half-written is left.
    """
    target = user_path(out).absolute()
    recipe = training_recipe(study, training)
    seed = study.recipe.seed if seed is None else seed
    placement = placement_of(recipe.device)
    if placement.process:
        progress = silent
    with study.folder.open_journal() as journal, _first_alone(placement):
        require_free_target(target, overwrite)
        study.require_problem("joint finetuning")
        if weights is None or start == "merged":
            require_finetunes(study)
        alpha = _weights(study, weights, point, progress)
        if start == "merged":
            weights_landscape(study, progress)
        splits = _splits(study)
        before = _before(study, journal, alpha, start, splits, progress) if not placement.process else {}
    with study.folder.open_journal() as journal:
        key = training_key(study, alpha, recipe, start=start, seed=seed)
        reused = (study.folder.trained / key[:16]).is_dir()
        trained = joint_checkpoint(study, journal, key, alpha, recipe, progress, start=start, stage=STAGE, seed=seed)
        if placement.process:
            return None
        after = {
            split: _score(study, journal, trained, score_key(study, key, split), alpha, split, progress)
            for split in splits
        }
    assert trained.source is not None
    folder = copy_trained(trained.source, target, {"scores": scores_as_dict(before, after)}, overwrite=overwrite)
    return _summary(folder, before, after, reused)


def _summary(folder: Path, before: dict[Split, Scores], after: dict[Split, Scores], reused: bool) -> FinetuneSummary:
    """From what the manifest says."""
    said = read_manifest(folder)
    told = {name: said[name] for name in ("weights", "start", "seed", "training", "scales", "stopped")}
    ledger = Ledger(**said["ledger"])
    posterior, adapter = _existing(folder / POSTERIOR), _existing(folder / ADAPTER)
    return FinetuneSummary(
        folder, before=before, after=after, ledger=ledger, reused=reused, posterior=posterior, adapter=adapter, **told
    )


def weights_of_task(study: Study, task: str) -> dict[str, float]:
    """All weight on one task: its own finetune.

    Raises:
        WeightsError: an unknown task.
    """
    if task not in study.tasks:
        require_tasks([task], study.tasks)
    return {name: float(name == task) for name in study.tasks}


def require_finetunes(study: Study) -> None:
    """Raise `CheckpointError` for a task whose checkpoint is not there (see `open_study`)."""
    for task, section in study.recipe.tasks.items():
        if task not in study.finetunes:
            open_checkpoint(section.checkpoint, study.base)


def scores_as_dict(before: Mapping[Split, Scores], after: Mapping[Split, Scores]) -> dict[str, Any]:
    """Split → objective → values and standard errors, JSON values."""

    def plain(scores: Scores) -> dict[str, dict[str, float]]:
        rows = zip(scores.objectives, scores.values[0].tolist(), scores.stderr[0].tolist(), strict=True)
        return {objective.name: {"value": value, "stderr": stderr} for objective, value, stderr in rows}

    return {split: {"before": plain(before[split]), "after": plain(after[split])} for split in after}


def _weights(
    study: Study, weights: Mapping[str, float] | None, point: str | int | None, progress: Progress
) -> np.ndarray:
    if weights is not None and point is not None:
        raise InputError("give either weights or a point of the front, not both")
    if weights is None:
        weights_landscape(study, progress)
        weights = point_of(study, CHOSEN if point is None else point, progress).weights
    return np.array(list(Weights.of(weights, study.tasks).as_mapping().values()), dtype=np.float64)


def _splits(study: Study) -> tuple[Split, ...]:
    """Where models are scored; an evaluator of the recipe's own knows no splits."""
    if not tells_splits_apart(study.recipe):
        return ("validation",)
    problem = study.require_problem("scoring")
    return tuple(split for split in ("validation", "test") if _has_examples(problem, split))


def _has_examples(problem: Any, split: Split) -> bool:
    try:
        return all(problem.batches(task, split) for task in problem.tasks)
    except DataError:
        return False


def _before(
    study: Study, journal: Journal, alpha: np.ndarray, start: Start, splits: tuple[Split, ...], progress: Progress
) -> dict[Split, Scores]:
    if start == "merged":
        landscape = weights_landscape(study, progress)
        return {split: score_merged(study, landscape, alpha[None], split, STAGE, progress) for split in splits}
    found = {}
    for split in splits:
        key = evaluation_key(base=study.base.digest, evaluator=study.evaluator_digest(split))
        found[split] = _score(study, journal, study.base, key, alpha, split, progress)
    return found


def _score(
    study: Study, journal: Journal, model: Checkpoint, key: str, alpha: np.ndarray, split: Split, progress: Progress
) -> Scores:
    """Scores of a model that is no merge, through the journal."""
    return score_models(
        journal,
        STAGE,
        [key],
        alpha[None],
        lambda rows: [model for _ in rows],
        study.evaluator(split),
        study.objectives,
        study.tasks,
        "trained",
        progress,
    )


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


@contextmanager
def _first_alone(placement: Placement) -> Iterator[None]:
    """The first process goes ahead, and the others find what it has stored."""
    if placement.process:
        placement.wait()
    try:
        yield
    finally:
        if not placement.process:
            placement.wait()
