"""`export`: the merged checkpoint that a point of the front stands for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from paretomerge.checkpoints import widened
from paretomerge.errors import InputError, nearest
from paretomerge.exports import complete_side_files, export_checkpoint
from paretomerge.stages.choose import FrontKind
from paretomerge.stages.exporting.card import card_of, draw_picture
from paretomerge.stages.exporting.points import exported_point
from paretomerge.stages.exporting.weights import beside_export
from paretomerge.stages.fitting.fit import Fitted, fit_run
from paretomerge.stages.landscape import Landscape, landscape_of
from paretomerge.stages.measuring.merged import score_merged
from paretomerge.stages.merging.inputs import DTYPES
from paretomerge.stages.scoring.models import Progress, silent
from paretomerge.stages.study import Study
from paretomerge.types import FrontPoint


def measured_point(
    study: Study, point: FrontPoint, progress: Progress = silent, landscape: Landscape | None = None
) -> FrontPoint:
    """The same point with its scores measured on test data: no winner's curse.

    Args:
        study: the run.
        point: of its front.
        progress: called with short messages.
        landscape: of the run, where it is at hand: opening it again reads every posterior.
    """
    landscape = landscape or landscape_of(fit_run(study, progress))
    scores = score_merged(study, landscape, row_of(point, landscape), "test", "test", progress)
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
    point: str | int | Mapping[str, float],
    out: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Progress = silent,
    dtype: str | None = None,
    of: FrontKind | None = None,
) -> Path:
    """Write the merged checkpoint of a point, scored on test data, with a model card and the task weights.

    Args:
        study: the run.
        point: its number on the front, `"chosen"`, or a weighting of your own, coordinate → value.
        out: the folder to write.
        overwrite: replace an existing checkpoint there.
        progress: called with short messages.
        dtype: of the weights, `"float16"`, `"bfloat16"`, `"float32"` or `"float64"`; the base's own when `None`. Sums
            are rounded once, into it.
        of: which front the number is of, see `point_of`.

    Returns:
        The folder: weights, configuration, generation configuration and tokenizer of the base (of a finetune where the
        base has none), the model card `README.md` with the front's picture, `paretomerge.json`; beside it
        `<name>-weights.yaml` with the task weights for joint finetuning, where the front is one over task weights.

    Raises:
        InputError: no such point, or no such dtype.
        StorageError: the disk refused; nothing half-written is left.
    """
    wanted = dtype_named(dtype)
    chosen = exported_point(study, point, progress, of=of)
    fitted = fit_run(study, progress)
    landscape = landscape_of(fitted)
    measured = measured_point(study, chosen, progress, landscape)
    shown = chosen if chosen.values else measured
    files, said = complete_side_files(study.base, study.finetunes)
    for sentence in said:
        progress(sentence)
    with tempfile.TemporaryDirectory() as folder:
        picture = draw_picture(study, shown, Path(folder), progress)
        card = card_of(study, fitted.damping, shown, picture, said)
        with beside_export(study, measured, out, overwrite, landscape.has_task_weights):
            return export_checkpoint(
                out,
                merged_blocks(fitted, chosen, wide=wanted is not None),
                base=study.base,
                card=card,
                point=measured,
                dtype=wanted,
                side_files=files,
                overwrite=overwrite,
            )


def merged_blocks(fitted: Fitted, point: FrontPoint, *, wide: bool = False) -> Iterator[tuple[str, Tensor]]:
    """The merged tensors of a point, in the base's dtypes, or `wide`: in float32 at least, rounded nowhere."""
    landscape = landscape_of(in_full_precision(fitted) if wide else fitted)
    yield from next(iter(landscape.models(row_of(point, landscape)))).items()


def in_full_precision(fitted: Fitted) -> Fitted:
    """The same fit whose models are in float32 at least."""
    study = replace(fitted.study, base=widened(fitted.study.base))
    vars(study)["digests"] = fitted.study.digests  # of the same contents: nothing is read again
    return replace(fitted, study=study)


def row_of(point: FrontPoint, landscape: Landscape) -> np.ndarray:
    """A point's coordinates `[1, D]` in a landscape."""
    return np.array([[point.weights[name] for name in landscape.domain.names]])


def dtype_named(name: str | None) -> torch.dtype | None:
    """The dtype of this name; `None` for the base's own.

    Raises:
        InputError: an unknown name.
    """
    if name is not None and name not in DTYPES:
        raise InputError(f"unknown dtype {name!r}{nearest(name, DTYPES)}: one of {', '.join(DTYPES)}")
    return None if name is None else DTYPES[name]
