"""What a merge on disk starts from: opened, repaired and checked."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from paretomerge.checkpoints import (
    Checkpoint,
    CheckpointWriter,
    CheckValues,
    Finding,
    Repaired,
    Repairs,
    Source,
    align_repaired,
    apply_repairs,
    holds_posterior,
    open_checkpoint,
)
from paretomerge.errors import CheckpointError, InputError
from paretomerge.exports.loading import config_with_dtype
from paretomerge.merging import Inputs, MergeRule, collect_inputs
from paretomerge.posteriors import Posterior
from paretomerge.stages.merging.posterior_inputs import open_posteriors, require_agreement, require_posteriors
from paretomerge.stages.merging.streaming import require_device
from paretomerge.types import Params, TensorSpec

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}

Check = Literal["sample", "full", "names"]
"""How much is read before the merge: a sample of the tensors, all of them, or only names, shapes and dtypes.

The base is compared with the one that files of posteriors were fitted on, which reads it once; not with `names`.
"""


@dataclass(frozen=True)
class MergeOptions:
    """How checkpoints are merged and written; nothing here says at which weights.

    Args:
        dtype: of the floating-point tensors that are written; the base's own when `None`.
        accumulate: dtype of sums, `"float32"` or `"float64"`; by default float64 where an input is, else float32.
        check: how much of the models is compared before the merge; see `Check`.
        max_distance: a finetune farther from the base than this (relative to the base's norm) is refused.
        max_shard_bytes: largest size of one weight file.
        device: where it is computed, `"cpu"` or `"cuda"`.
        overwrite: replace existing checkpoints.
        damping: relative, added to posteriors that come from files; reads their precisions once more. Diagonal ones
            are still read tensor by tensor when they are merged, those of other families are held in memory.

    Raises:
        InputError: an unknown dtype, check or device, or a negative damping.
    """

    dtype: str | None = None
    accumulate: str | None = None
    check: Check = "sample"
    max_distance: float = 1.0
    max_shard_bytes: int = 5_000_000_000
    device: str = "cpu"
    overwrite: bool = False
    damping: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name, value, allowed in (
            ("dtype", self.dtype, (None, *DTYPES)),
            ("accumulate", self.accumulate, (None, "float32", "float64")),
            ("check", self.check, ("sample", "full", "names")),
        ):
            if value not in allowed:
                raise InputError(f"unknown {name} {value!r}: one of {', '.join(filter(None, allowed))}")
        if self.damping is not None and not 0 <= self.damping < math.inf:
            raise InputError(f"the damping must be at least 0, got {self.damping}")
        require_device(self.device)

    @property
    def changes(self) -> dict[str, object]:
        """What else the written values depend on, for the manifest: the damping and dtypes that were asked for."""
        asked = {"damping": self.damping, "dtype": self.dtype, "accumulate": self.accumulate}
        return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True, eq=False)
class PreparedMerge:
    """Inputs that were opened, repaired and checked, and what the output needs."""

    inputs: Inputs
    specs: Mapping[str, TensorSpec]
    side_files: tuple[Path, ...]
    texts: Mapping[str, str]
    sources: Mapping[str, str]
    checkpoints: tuple[Checkpoint, ...]
    private: Mapping[str, Checkpoint]
    warnings: tuple[Finding, ...]

    def writer(self, path: Path, options: MergeOptions) -> CheckpointWriter:
        """A writer of one merged model."""
        return CheckpointWriter(
            path,
            self.specs,
            side_files=[file for file in self.side_files if file.name not in self.texts],
            texts=self.texts,
            max_shard_bytes=options.max_shard_bytes,
            overwrite=options.overwrite,
        )

    @property
    def private_nbytes(self) -> int:
        """Bytes of the tensors that are kept per task."""
        specs = (own.spec(name) for own in self.private.values() for name in own)
        return sum(spec.nbytes for spec in specs)

    def require_unchanged(self) -> None:
        """Raise `StorageError` if a file was written to while it was read."""
        for params in (*self.checkpoints, *self.private.values(), *self.inputs.params):
            if isinstance(params, Checkpoint):
                params.require_unchanged()

    def manifest(self, rule: MergeRule) -> dict[str, object]:
        """What is remembered of how a checkpoint was made."""
        return {"kind": "merged checkpoint", "rule": repr(rule), "sources": dict(self.sources)}


def prepare_merge(
    base: Source,
    tasks: Mapping[str, Source],
    options: MergeOptions = MergeOptions(),
    repairs: Repairs = Repairs(),
    drops_at_random: bool = False,
) -> PreparedMerge:
    """Open base and finetunes, make the repairs, and check that they fit each other.

    Raises:
        AlignmentError, CheckpointError, PosteriorError: as `merge_checkpoints`.
    """
    if not tasks:
        raise InputError("no finetunes: give at least one --task name=DIR")
    opened = open_checkpoint(base)
    files = {task: path for task, path in tasks.items() if isinstance(path, str | os.PathLike)}
    given = open_posteriors({task: path for task, path in files.items() if holds_posterior(path)})
    posteriors = require_posteriors(given, options.damping)
    finetunes = {task: open_checkpoint(path, opened) for task, path in tasks.items() if task not in posteriors}
    if posteriors and finetunes:
        raise InputError(
            f"{next(iter(finetunes))!r} is a checkpoint and {next(iter(posteriors))!r} a posterior: give posterior "
            "files for all tasks, or checkpoints for all"
        )
    if options.damping is not None and not posteriors:
        raise InputError("damping is for files of posteriors, and these are checkpoints: leave it out")
    if posteriors and repairs != Repairs():
        raise InputError("posterior files cannot be renamed or cut: repair the checkpoints and fit again")
    repaired = apply_repairs(opened, finetunes, repairs) if finetunes else Repaired(opened, {}, {})
    warnings = require_agreement(given, opened, options.check != "names", "; --check names merges without comparing")
    members: dict[str, Posterior | Params] = dict(posteriors)
    if finetunes:
        levels: dict[Check, CheckValues] = {"names": False, "sample": "sample", "full": True}
        found = align_repaired(
            repaired,
            max_distance=options.max_distance,
            check_values=levels[options.check],
            drops_at_random=drops_at_random,
        ).raise_if_bad()
        _require_file_names(repaired.private)
        warnings = found.warnings
        members = dict(repaired.trunks())
    inputs = collect_inputs(members, base=repaired.base, accumulate=DTYPES.get(options.accumulate or ""))
    inputs = replace(inputs, tasks=tuple(tasks), posteriors=_ordered(inputs, tasks))
    side_files = repaired.side_files or opened.side_files
    return PreparedMerge(
        inputs,
        {name: _converted(spec, options.dtype) for name, spec in inputs.specs.items()},
        side_files,
        _with_dtype_texts(side_files, repaired.texts, options.dtype),
        {"base": _source_name(opened), **{task: _source_name(finetunes.get(task, tasks[task])) for task in tasks}},
        (repaired.base, *repaired.finetunes.values()),
        repaired.private,
        warnings,
    )


def _require_file_names(tasks: Iterable[str]) -> None:
    for task in tasks:
        if not task.strip(".") or set(task) & set("/\\\0"):
            raise InputError(
                f"the task {task!r} cannot be a file name, and its private tensors are written to "
                "private/<task>.safetensors: give it another name"
            )


def _source_name(source: Source) -> str:
    if isinstance(source, Checkpoint):
        return source.address or str(source.source or "memory")
    return str(source) if isinstance(source, str | os.PathLike) else "memory"


def _ordered(inputs: Inputs, tasks: Mapping[str, Any]) -> tuple[Posterior, ...]:
    by_task = dict(zip(inputs.tasks, inputs.posteriors, strict=True))
    return tuple(by_task[task] for task in tasks)


def _converted(spec: TensorSpec, dtype: str | None) -> TensorSpec:
    return spec if dtype is None or not spec.is_mergeable else TensorSpec(spec.shape, DTYPES[dtype])


def _with_dtype_texts(side_files: Sequence[Path], texts: Mapping[str, str], dtype: str | None) -> dict[str, str]:
    """`config.json` with the new dtype in it, so that loaders read what is there."""
    found = dict(texts)
    if dtype is None:
        return found
    for file in side_files:
        if file.name == "config.json" and file.name not in found:
            try:
                found[file.name] = file.read_text(encoding="utf-8")
            except (OSError, ValueError) as error:
                raise CheckpointError(f"{file} cannot be read: {error}. Repair it or copy it again") from error
    if "config.json" in found:
        try:
            config = json.loads(found["config.json"])
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"config.json cannot be read as JSON: {error}. Repair it or copy it again") from error
        found["config.json"] = json.dumps(config_with_dtype(config, dtype), indent=2) + "\n"
    return found
