"""`export`: the merged checkpoint that a point of the front stands for."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from paretomerge.exports import ModelCard, export_checkpoint, export_task_weights
from paretomerge.stages.choose import point_of
from paretomerge.stages.fit import fit_run
from paretomerge.stages.landscape import Landscape, landscape_of
from paretomerge.stages.measure import score_merged
from paretomerge.stages.scoring import Progress, silent
from paretomerge.stages.study import Study
from paretomerge.types import FrontPoint


def measured_point(study: Study, point: FrontPoint, progress: Progress = silent) -> FrontPoint:
    """The same point with its scores measured on test data: no winner's curse."""
    landscape = landscape_of(fit_run(study, progress))
    scores = score_merged(study, landscape, _row(point, landscape), "test", "test", progress)
    names = [objective.name for objective in scores.objectives]
    return FrontPoint(
        point.id,
        point.weights,
        dict(zip(names, scores.values[0].tolist(), strict=True)),
        dict(zip(names, scores.stderr[0].tolist(), strict=True)),
        "merged",
    )


def export_point(
    study: Study,
    point: str | int,
    out: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Path:
    """Write the merged checkpoint of a point, scored on test data, with a model card and the task weights.

    Args:
        study: the run.
        point: its number on the front, or `"chosen"`.
        out: the folder to write.
        overwrite: replace an existing checkpoint there.
        progress: called with short messages.

    Returns:
        The folder: weights, the base's configuration and tokenizer, `README.md`, `paretomerge.json`; beside it
        `<name>-weights.yaml` with the task weights for joint finetuning, where the front is one over task weights.

    Raises:
        InputError: no such point.
        StorageError: the disk refused; nothing half-written is left.
    """
    measured = measured_point(study, point_of(study, point, progress), progress)
    fitted = fit_run(study, progress)
    landscape = landscape_of(fitted)
    merged = next(iter(landscape.models(_row(measured, landscape))))
    folder = export_checkpoint(
        out, merged, base=study.base, card=_card(study, fitted.damping), point=measured, overwrite=overwrite
    )
    if landscape.has_task_weights:
        export_task_weights(folder.with_name(folder.name + "-weights.yaml"), measured.weights)
    return folder


def _row(point: FrontPoint, landscape: Landscape) -> np.ndarray:
    return np.array([[point.weights[name] for name in landscape.domain.names]])


def _card(study: Study, damping: float) -> ModelCard:
    posterior = study.recipe.posterior
    settings = {"family": posterior.family, **posterior.settings, "damping": damping}
    return ModelCard(
        name=study.folder.path.name,
        method=f"{study.recipe.rule.name} merge of {posterior.family} posteriors",
        settings={key: str(value) for key, value in settings.items()},
        finetunes={task: Path(section.checkpoint).name for task, section in study.recipe.tasks.items()},
        digests=study.digests,
        objectives=study.objectives,
        base=Path(study.recipe.base).name,
    )
