"""The posteriors of a run in its folder: written with their provenance, and read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paretomerge.checkpoints import Checkpoint, load_curvature, save_posterior
from paretomerge.curvature import Curvatures, FitMethod, measured_part
from paretomerge.posteriors import Curvature, PredictedLoss, Provenance, Subspace
from paretomerge.stages.study import Study

ROUTES = {"true": "true fisher", "empirical": "empirical fisher", "ggn": "gauss-newton"}


def save_curvatures(study: Study, curvatures: Curvatures) -> None:
    """One file per task, without damping.

    Raises:
        StorageError: the disk refused.
    """
    for task, posterior in curvatures.bare.items():
        save_posterior(file_of(study, task), posterior, provenance_of(study, curvatures, task))


def load_curvatures(study: Study, method: FitMethod, facts: dict[str, Any]) -> Curvatures | None:
    """The curvatures that `save_curvatures` wrote, at no cost; `None` where a file is missing.

    Args:
        study: the run.
        method: what they were fitted with.
        facts: task → offset and examples of its predicted loss.
    """
    files = {task: file_of(study, task) for task in study.tasks}
    if not all(path.is_file() for path in files.values()):
        return None
    bare = share_basis({task: load_curvature(path) for task, path in files.items()})
    losses = {
        task: PredictedLoss(measured_part(bare[task]), offset, examples) for task, (offset, examples) in facts.items()
    }
    return Curvatures(method, bare, losses)


def provenance_of(study: Study, curvatures: Curvatures, task: str) -> Provenance:
    """Where the curvature of a task comes from, and in which units it is: the mean loss of one example, undamped."""
    method, loss = curvatures.method, curvatures.losses.get(task)
    return Provenance(
        route_of(method),
        getattr(method, "location", ""),
        examples=0 if loss is None else loss.examples,
        offset=None if loss is None else loss.offset,
        base=study.digests["base"],
        base_name=name_of(study.base),
        checkpoint=study.digests[task],
        settings=f"{method!r}, split={study.recipe.posterior.split!r}, seed={study.recipe.seed}",
    )


def route_of(method: FitMethod) -> str:
    """The word for how a method measures curvature."""
    if method.family == "isotropic":
        return "isotropic"
    if method.family == "kronecker":
        return "ekfac" if getattr(method, "corrected", True) else "kfac"
    return ROUTES[str(getattr(method, "labels", "ggn"))]


def name_of(checkpoint: Checkpoint) -> str:
    """What a checkpoint is called, without the place where it lies on this machine."""
    return checkpoint.address or (checkpoint.source.name if checkpoint.source is not None else "")


def file_of(study: Study, task: str) -> Path:
    """The file of a task's posterior, which no task name can turn into another path."""
    return study.folder.posteriors / f"{study.tasks.index(task)}-{safe_name(task)}.safetensors"


def safe_name(task: str) -> str:
    """Part of a file's name."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in task)[:60]


def share_basis(bare: dict[str, Curvature]) -> dict[str, Curvature]:
    """Files hold a basis each; in memory one serves all tasks."""
    first = next(iter(bare.values()))
    if not isinstance(first, Subspace):
        return bare
    origin = {name: first.origin[name] for name in first.origin}
    directions = [{name: direction[name] for name in direction} for direction in first.basis.directions]
    basis = type(first.basis)(tuple(directions), first.basis.labels, first.basis.anchors)
    shared: dict[str, Curvature] = {}
    for task, posterior in bare.items():
        assert isinstance(posterior, Subspace)
        first.require_same_kind(posterior)
        shared[task] = Subspace(origin, basis, posterior.precision, posterior.precision_mean)
    return shared
