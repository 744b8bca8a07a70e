"""`check` of checkpoints or of a recipe: everything that can be known before spending a minute."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from paretomerge.checkpoints import (
    Alignment,
    Estimate,
    Repaired,
    Repairs,
    align_repaired,
    apply_repairs,
    estimate_merge,
    holds_posterior,
    open_checkpoint,
)
from paretomerge.errors import InputError


@dataclass(frozen=True, eq=False)
class Preflight:
    """What `check` found: what does not fit, what it would take to merge, and the models after their repairs."""

    alignment: Alignment
    estimate: Estimate
    repaired: Repaired

    @property
    def ok(self) -> bool:
        """Whether the models can be merged."""
        return self.alignment.ok

    def raise_if_bad(self) -> Preflight:
        """Return itself, or raise `AlignmentError` with every error and what to type."""
        self.alignment.raise_if_bad()
        return self

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON: those of the alignment, the estimate, and the tensors kept per task."""
        private = {task: list(own) for task, own in self.repaired.private.items()}
        return self.alignment.as_dict() | {
            "kept": sorted(self.repaired.kept),
            "private": private,
            "estimate": self.estimate.as_dict(),
        }


def check_models(
    base: str | os.PathLike[str],
    tasks: Mapping[str, str | os.PathLike[str]],
    repairs: Repairs = Repairs(),
    *,
    max_distance: float = 1.0,
    models: int = 1,
    dtype: torch.dtype | None = None,
    inputs_per_finetune: int = 1,
    drops_at_random: bool = False,
    target: Path | None = None,
) -> Preflight:
    """Pre-flight of checkpoints on disk: every problem at once, what to do about it, and what a merge will take.

    Args:
        base: the base checkpoint.
        tasks: task → finetuned checkpoint.
        repairs: what to rename, skip, keep per task, and which tokenizer.
        max_distance: a finetune farther from the base than this is refused.
        models: how many merged models will be written.
        dtype: of the merged tensors; the base's when `None`.
        inputs_per_finetune: 2 where each finetune brings a diagonal posterior.
        drops_at_random: whether the rule drops elements at random.
        target: where the merged model goes.

    Raises:
        CheckpointError: a checkpoint that cannot be opened.
        AlignmentError: repairs that cannot be made.
        InputError: no tasks, or a repair for a task that is not there.
    """
    if not tasks:
        raise InputError("no finetunes: give at least one --task name=DIR")
    opened = open_checkpoint(base)
    for task, path in tasks.items():
        if holds_posterior(path):
            raise InputError(
                f"{task!r} is the file of a posterior ({path}): check compares checkpoints; give the finetune it was "
                "fitted on. `paretomerge merge` takes it as it is"
            )
    finetunes = {task: open_checkpoint(path, opened) for task, path in tasks.items()}
    return preflight(
        apply_repairs(opened, finetunes, repairs),
        max_distance=max_distance,
        models=models,
        dtype=dtype,
        inputs_per_finetune=inputs_per_finetune,
        drops_at_random=drops_at_random,
        target=target,
    )


def preflight(
    repaired: Repaired,
    *,
    max_distance: float = 1.0,
    models: int = 1,
    dtype: torch.dtype | None = None,
    inputs_per_finetune: int = 1,
    drops_at_random: bool = False,
    target: Path | None = None,
) -> Preflight:
    """`check_models` for checkpoints that are open and repaired; the value check tells how fast they are read."""
    started = time.perf_counter()
    alignment = align_repaired(repaired, max_distance=max_distance, drops_at_random=drops_at_random)
    seconds = time.perf_counter() - started
    sizes = estimate_merge(
        repaired.base,
        repaired.finetunes,
        private=repaired.private,
        models=models,
        dtype=dtype,
        inputs_per_finetune=inputs_per_finetune,
        target=target,
    )
    speed = sizes.bytes_to_read / inputs_per_finetune / max(seconds, 1e-9)
    return Preflight(alignment, sizes.at(speed), repaired)
