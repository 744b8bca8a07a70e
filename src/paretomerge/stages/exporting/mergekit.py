"""Writing a chosen point as a mergekit configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from paretomerge.checkpoints.atomic import write_text
from paretomerge.errors import InputError
from paretomerge.exports import mergekit_config
from paretomerge.stages.choose import FrontKind
from paretomerge.stages.exporting.files import free_file
from paretomerge.stages.exporting.points import exported_point
from paretomerge.stages.fitting.fit import fit_run
from paretomerge.stages.fitting.previews import with_strength
from paretomerge.stages.scoring.models import Progress, silent
from paretomerge.stages.study import Study


def export_mergekit(
    study: Study,
    point: str | int | Mapping[str, float],
    file: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Progress = silent,
    of: FrontKind | None = None,
) -> Path:
    """Write a point of a run's front as a mergekit configuration of the same merge.

    Args:
        study: the run.
        point: its number on the front, `"chosen"`, or a weighting of your own, coordinate → value.
        file: the YAML file to write.
        overwrite: replace an existing file.
        progress: called with short messages.
        of: which front the number is of, see `point_of`.

    Raises:
        InputError: no such point, or a rule or family that mergekit does not have: export the checkpoint then.
        CheckpointError: the file exists.
        StorageError: the disk refused.
    """
    target = free_file(file, overwrite)
    if study.recipe.front.domain == "groups":
        raise InputError(
            "a point with coefficients per parameter group has no mergekit configuration here: export the checkpoint"
        )
    chosen, fitted = exported_point(study, point, progress, of=of), fit_run(study, progress)
    text = mergekit_config(
        chosen.weights,
        with_strength(fitted.method.rule, fitted.damping),
        study.recipe.base,
        {task: section.checkpoint for task, section in study.recipe.tasks.items()},
        str(study.base.main_dtype).removeprefix("torch."),
        family=study.recipe.posterior.family,
    )
    return write_text(target, text)
