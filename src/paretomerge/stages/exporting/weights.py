"""Writing the task weights of a chosen point, for joint finetuning in any trainer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from paretomerge.checkpoints.atomic import storage_errors, write_bytes
from paretomerge.checkpoints.writing.writer import require_free_target
from paretomerge.errors import InputError, StorageError
from paretomerge.exports import export_task_weights
from paretomerge.stages.choose import FrontKind
from paretomerge.stages.exporting.files import free_file
from paretomerge.stages.exporting.points import exported_point
from paretomerge.stages.scoring.models import Progress, silent
from paretomerge.stages.study import Study
from paretomerge.types import FrontPoint


def export_weights(
    study: Study,
    point: str | int | Mapping[str, float],
    file: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Progress = silent,
    of: FrontKind | None = None,
) -> Path:
    """Write the task weights of a point of a run's front, with code that trains with them; nothing is merged.

    Sizes of the training data are those of the recipe's problem, where it has one.

    Args:
        study: the run.
        point: its number on the front, `"chosen"`, or a weighting of your own, coordinate → value.
        file: the file to write, `.yaml`, `.yml` or `.json`.
        overwrite: replace an existing file.
        progress: called with short messages.
        of: which front the number is of, see `point_of`.

    Raises:
        InputError: no such point, another kind of file, or a front over coefficients, which are no task weights.
        CheckpointError: the file exists.
        StorageError: the disk refused.
    """
    domain = study.recipe.front.domain
    if domain != "weights":
        raise InputError(
            f"front.domain: {domain} are no task weights, with which one could finetune jointly: export the checkpoint"
        )
    target = free_file(file, overwrite)
    return write_task_weights(study, exported_point(study, point, progress, of=of), target)


def write_task_weights(study: Study, point: FrontPoint, file: Path) -> Path:
    """A point's weights, with the sizes of the training data where the run knows them."""
    return export_task_weights(file, point.weights, training_sizes(study))


def training_sizes(study: Study) -> dict[str, int] | None:
    """Task to its number of training examples; `None` for a recipe without a problem."""
    if study.problem is None:
        return None
    return {task: study.problem.count_examples(task, "training") for task in study.tasks}


@contextmanager
def beside_export(
    study: Study, point: FrontPoint, out: str | os.PathLike[str], overwrite: bool, has_task_weights: bool
) -> Iterator[None]:
    """Write the task weights beside a checkpoint, before what is written within gets its name.

    The checkpoint is what says that an export is complete, so it comes last: a process that is killed in between has
    exported nothing, and the same command does it again. Where the export fails, the file is as it was.

    Args:
        study: the run.
        point: that is exported.
        out: the folder of the checkpoint.
        overwrite: whether a checkpoint there may be replaced.
        has_task_weights: scaling coefficients are none, and no file is written.

    Raises:
        CheckpointError: the folder is not free.
        StorageError: the disk refused.
    """
    target = Path(out).expanduser().absolute()
    require_free_target(target, overwrite)
    if not has_task_weights:
        yield
        return
    file = companion_of(target)
    with storage_errors(file, "read"):
        before = file.read_bytes() if file.is_file() else None
    write_task_weights(study, point, file)
    try:
        yield
    except BaseException:
        with suppress(StorageError, OSError):
            file.unlink() if before is None else write_bytes(file, before)
        raise


def companion_of(folder: Path) -> Path:
    """The file of task weights beside an exported checkpoint."""
    return folder.with_name(folder.name + "-weights.yaml")
