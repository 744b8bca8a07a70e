"""Truths of a run: jointly finetuned checkpoints, trained here or the user's own, and the single finetunes.

Every truth is scored on test data and kept in the journal; it is known again as long as checkpoints, training recipe,
data and evaluator stay what they were.

Shapes: `N` weightings, `T` tasks, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paretomerge.checkpoints import Checkpoint, align, open_checkpoint
from paretomerge.distributed import Executor
from paretomerge.errors import AlignmentError, InputError, WeightsError
from paretomerge.evaluation import Evaluation, as_evaluation, shared_covariance
from paretomerge.runs import Journal, evaluation_key, recall_tasks
from paretomerge.stages.joint.side_by_side import train_side_by_side
from paretomerge.stages.joint.training import joint_checkpoint, score_key, training_key, training_recipe
from paretomerge.stages.landscape import Landscape
from paretomerge.stages.measuring.merged import MergedScorer
from paretomerge.stages.scoring.models import Progress, score_models
from paretomerge.stages.study import Study
from paretomerge.types import Params, Scores, Weights


@dataclass(frozen=True)
class Truth:
    """A jointly finetuned checkpoint: trained by the run (no path), or the user's own.

    Attributes:
        weights: `[T]`, on the simplex.
        path: of the user's checkpoint.
        digest: of its contents.
    """

    weights: tuple[float, ...]
    path: str | None = None
    digest: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"weights": list(self.weights), "path": self.path, "digest": self.digest}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Truth:
        """The inverse of `as_dict`."""
        return cls(tuple(stored["weights"]), stored["path"], stored["digest"])


@dataclass(frozen=True, eq=False)
class Comparison:
    """Merged models and jointly finetuned ones at the same weightings, on the same test examples.

    Attributes:
        previews, truths: `N` scores of each.
        noise: `[M, N, N]`, covariance of the differences that is due to finite examples; `None` where nothing is known.
    """

    previews: Scores
    truths: Scores
    noise: np.ndarray | None

    def take(self, rows: Sequence[int] | np.ndarray) -> Comparison:
        """Some of the weightings."""
        index = np.asarray(rows, dtype=int)
        noise = None if self.noise is None else self.noise[:, index[:, None], index]
        return Comparison(self.previews.take(index), self.truths.take(index), noise)


def given_truth(study: Study, weights: Sequence[float] | Mapping[str, float], path: str | Path) -> Truth:
    """A checkpoint of the user's, checked against the base.

    Raises:
        WeightsError: weights that are not those of the run's tasks, or off the simplex.
        CheckpointError: no checkpoint there.
        AlignmentError: a checkpoint of another model.
    """
    row = Weights.of(weights, study.tasks).batch
    if len(row) != 1:
        raise WeightsError(f"give one weighting for the checkpoint {path}, got {len(row)}")
    checkpoint = open_trained(study, path)
    return Truth(tuple(row[0].tolist()), str(Path(path).resolve()), checkpoint.digest)


def known_truths(study: Study, journal: Journal) -> list[Truth]:
    """The truths of earlier verifications whose scores are still those of the present recipe."""
    stored = [Truth.from_dict(one) for one in (journal.fact("verification") or {}).get("trained", [])]
    wanted = dict.fromkeys(objective.task for objective in study.objectives)
    fitting = [one for one in stored if len(one.weights) == len(study.tasks) and (one.path or study.problem)]
    return [one for one in fitting if len(recall_tasks(journal, truth_key(study, one), wanted)) == len(wanted)]


def truth_key(study: Study, truth: Truth) -> str:
    """What the scores of a truth depend on."""
    if truth.path is not None:
        return evaluation_key(model=truth.digest, evaluator=study.evaluator_digest("test"), trained=True)
    return score_key(study, training_key(study, np.array(truth.weights), training_recipe(study)), "test")


def compare_truths(
    study: Study, landscape: Landscape, truths: Sequence[Truth], progress: Progress, executor: Executor | None = None
) -> Comparison:
    """Score the corners (merges against the single finetunes), then truths, training those that are missing.

    With an executor, trainings and merged models are distributed over its workers.

    Raises:
        RecipeError: something is to be trained, and the recipe has no problem.
        EvaluationError, StorageError, TrainingError: as trainings and evaluations.
    """
    corners = np.eye(len(study.tasks))
    weights = np.array([*corners.tolist(), *(list(one.weights) for one in truths)])
    evaluator = study.evaluator_digest("test")
    keys = [evaluation_key(model=study.digests[task], evaluator=evaluator, finetune=True) for task in study.tasks]
    keys += [truth_key(study, one) for one in truths]
    with study.folder.open_journal() as journal:
        if executor is not None:
            absent = [one.weights for one in truths if one.path is None]
            train_side_by_side(study, journal, absent, executor, progress)

        def build(rows: list[int]) -> Iterator[Params]:
            for row in rows:
                if row < len(corners):
                    yield study.finetunes[study.tasks[row]]
                else:
                    yield _checkpoint(study, journal, truths[row - len(corners)], progress)

        measured = score_models(
            journal,
            "verify",
            keys,
            weights,
            build,
            study.evaluator("test"),
            study.objectives,
            study.tasks,
            "trained",
            progress,
        )
        found = [_evaluation(study, journal, key) for key in keys]
    previews, merged = _previews(study, landscape, weights, progress, executor)
    return Comparison(previews, measured, None if merged is None else _noise(study, merged, found))


def _checkpoint(study: Study, journal: Journal, truth: Truth, progress: Progress) -> Checkpoint:
    if truth.path is None:
        weights, recipe = np.array(truth.weights), training_recipe(study)
        return joint_checkpoint(study, journal, training_key(study, weights, recipe), weights, recipe, progress)
    checkpoint = open_trained(study, truth.path)
    if checkpoint.digest != truth.digest:
        raise InputError(f"{truth.path} has changed while it was verified: run this command again")
    return checkpoint


def open_trained(study: Study, path: str | Path) -> Checkpoint:
    """A jointly finetuned checkpoint; it may be as far from the base as it likes, but must be the same model."""
    checkpoint = open_checkpoint(path, study.base)
    try:
        align(study.base, {"trained": checkpoint}, max_distance=1e6, check_values=False).raise_if_bad()
    except AlignmentError as error:
        raise AlignmentError(f"{path} is no finetune of this run's base: {error}") from error
    return checkpoint


def _evaluation(study: Study, journal: Journal, key: str) -> Evaluation:
    wanted = dict.fromkeys(objective.task for objective in study.objectives)
    return as_evaluation(recall_tasks(journal, key, wanted), study.objectives)


def _previews(
    study: Study, landscape: Landscape, weights: np.ndarray, progress: Progress, executor: Executor | None
) -> tuple[Scores, list[Evaluation] | None]:
    with MergedScorer(study, landscape, "test", "verify", progress, executor, retry_known=True) as scorer:
        scores = scorer(weights, study.objectives)
        if scorer.failures:
            raise scorer.failures[0].error
        return scores, scorer.evaluations_of(scores)


def _noise(study: Study, merged: Sequence[Evaluation], trained: Sequence[Evaluation]) -> np.ndarray | None:
    """Of `truth - preview` on the same examples; zeros where these cannot be paired."""
    differences = []
    for before, after in zip(merged, trained, strict=True):
        names = [objective.name for objective in study.objectives]
        pairs = {name: (after.examples[name], before.examples[name]) for name in names}
        # One number is no sample: `shared_covariance` leaves such an objective without noise.
        apart = {name: y - x if len(y) == len(x) else np.zeros(1) for name, (y, x) in pairs.items()}
        differences.append(Evaluation(after.values - before.values, np.zeros(len(names)), apart))
    return shared_covariance(differences, study.objectives)
