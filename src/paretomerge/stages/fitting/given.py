"""Posteriors that somebody else has fitted, as the curvature of a run: `posterior.files` of a recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from paretomerge.curvature import Curvatures, measured_part
from paretomerge.errors import AlignmentError
from paretomerge.posteriors import PredictedLoss
from paretomerge.stages.fitting.files import share_basis
from paretomerge.stages.merging.posterior_inputs import PosteriorFile, open_posteriors, require_agreement
from paretomerge.stages.study import Study


@dataclass(frozen=True)
class FitGiven:
    """Nothing is measured: every task has the file of its posterior.

    Args:
        family: of the files.
        digests: of their posteriors, in the order of the tasks.
        damped: whether a file holds damping already, so that none is added.
        damping: relative, added where none is chosen.
    """

    family: str
    digests: tuple[str, ...]
    damped: bool = False
    damping: float = 0.1


def given_curvatures(study: Study, progress: Callable[[str], None]) -> Curvatures:
    """The posteriors of the recipe's files, held against the base, the finetunes and each other.

    Losses are predicted where all files tell the constant of theirs.

    Raises:
        AlignmentError: files of another base or finetune, or checkpoints that do not fit.
        CheckpointError, PosteriorError: files that are no sound posteriors, or cannot be merged.
    """
    study.check().raise_if_bad()
    files = open_posteriors(study.recipe.posterior.files)
    for finding in require_agreement(files, study.base):
        progress(str(finding))
    for file in files:
        _require_finetune(study, file)
    by_task = {file.task: file for file in files}
    bare = share_basis({task: by_task[task].posterior for task in study.tasks})
    told = {task: by_task[task].provenance for task in study.tasks}
    method = FitGiven(
        next(iter(bare.values())).family,
        tuple(posterior.digest for posterior in bare.values()),
        damped=any(origin is not None and origin.damping != 0 for origin in told.values()),
    )
    losses = {
        task: PredictedLoss(measured_part(bare[task]), origin.offset, origin.examples)
        for task, origin in told.items()
        if origin is not None and origin.offset is not None
    }
    return Curvatures(method, bare, losses if len(losses) == len(bare) else {})  # type: ignore[arg-type]


def _require_finetune(study: Study, file: PosteriorFile) -> None:
    expected = file.provenance.checkpoint if file.provenance is not None else ""
    if expected and expected != study.digests[file.task]:
        raise AlignmentError(
            f"{file.path}: the posterior of {file.task!r} was fitted on a checkpoint with the digest {expected[:12]}…, "
            f"the recipe's has {study.digests[file.task][:12]}…: name the checkpoint it was fitted on"
        )
