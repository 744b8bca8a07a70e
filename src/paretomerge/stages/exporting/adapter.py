"""Writing a chosen point as a LoRA adapter, where the finetunes are adapters."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from paretomerge.exports import AdapterExport
from paretomerge.exports import export_adapter as write_adapter_export
from paretomerge.exports.adapter import TOLERANCE
from paretomerge.exports.adapter_plan import require_adapters
from paretomerge.stages.choose import FrontKind
from paretomerge.stages.exporting.card import card_of, draw_picture
from paretomerge.stages.exporting.export import dtype_named, measured_point, merged_blocks
from paretomerge.stages.exporting.points import exported_point
from paretomerge.stages.exporting.weights import beside_export
from paretomerge.stages.fitting.fit import fit_run
from paretomerge.stages.landscape import landscape_of
from paretomerge.stages.scoring.models import Progress, silent
from paretomerge.stages.study import Study


def export_adapter(
    study: Study,
    point: str | int | Mapping[str, float],
    out: str | os.PathLike[str],
    *,
    rank: int | None = None,
    tolerance: float = TOLERANCE,
    dtype: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    of: FrontKind | None = None,
) -> AdapterExport:
    """Write the merge of a point as a LoRA adapter on the base, with a model card and the task weights.

    The scores on the card are those of the merged model; `check_export` measures what the adapter itself scores.

    Args:
        study: the run; its finetunes are adapters.
        point: its number on the front, `"chosen"`, or a weighting of your own, coordinate → value.
        out: the folder to write.
        rank: the largest rank of every layer, whatever error that leaves.
        tolerance: without a rank, the largest relative error of a layer whose change has no exact form.
        dtype: of the matrices; float32 when `None`.
        overwrite: replace what an earlier export wrote there.
        progress: called with short messages.
        of: which front the number is of, see `point_of`.

    Raises:
        InputError: no such point or dtype.
        CheckpointError: a finetune that is no adapter, or a merge that no low rank is near.
        StorageError: the disk refused; nothing half-written is left.
    """
    wanted = dtype_named(dtype) or torch.float32
    require_adapters(study.finetunes)
    chosen = exported_point(study, point, progress, of=of)
    fitted = fit_run(study, progress)
    landscape = landscape_of(fitted)
    measured = measured_point(study, chosen, progress, landscape)
    shown = chosen if chosen.values else measured
    with tempfile.TemporaryDirectory() as folder:
        picture = draw_picture(study, shown, Path(folder), progress)
        with beside_export(study, measured, out, overwrite, landscape.has_task_weights):
            return write_adapter_export(
                out,
                merged_blocks(fitted, chosen, wide=True),
                base=study.base,
                finetunes=study.finetunes,
                card=card_of(study, fitted.damping, shown, picture),
                point=measured,
                rank=rank,
                tolerance=tolerance,
                dtype=wanted,
                overwrite=overwrite,
            )
