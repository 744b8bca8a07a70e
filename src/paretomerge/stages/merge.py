"""`merge` and `check` on checkpoints: no data, no recipe."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from paretomerge.checkpoints import Alignment, Checkpoint, align, open_checkpoint, write_checkpoint
from paretomerge.errors import CheckpointError, InputError
from paretomerge.merging import MergeRule, PosteriorMerge, collect_inputs, merge_blocks
from paretomerge.merging.values import as_values
from paretomerge.types import TensorSpec

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class MergeSummary:
    """What a merge wrote."""

    path: str
    tensors: int
    parameters: int
    weights: dict[str, float]
    rule: str
    seconds: float


def check_checkpoints(
    base: str | os.PathLike[str], tasks: Mapping[str, str | os.PathLike[str]], max_distance: float = 1.0
) -> Alignment:
    """Pre-flight of checkpoints: every problem at once.

    Raises:
        CheckpointError: a checkpoint that cannot be opened.
    """
    return align(open_checkpoint(base), _open_all(tasks), max_distance=max_distance)


def merge_checkpoints(
    out: str | os.PathLike[str],
    base: str | os.PathLike[str],
    tasks: Mapping[str, str | os.PathLike[str]],
    weights: Mapping[str, float],
    rule: MergeRule = PosteriorMerge(),
    *,
    dtype: str | None = None,
    max_distance: float = 1.0,
    overwrite: bool = False,
) -> MergeSummary:
    """Merge checkpoints on disk into a new checkpoint directory, tensor by tensor.

    Args:
        out: the folder to write.
        base: the base checkpoint: order, dtypes, configuration and tokenizer come from it.
        tasks: task → finetuned checkpoint.
        weights: task → weight (or coefficient, where that is the rule's domain).
        rule: the merge rule. Without posteriors on disk, `PosteriorMerge` means isotropic ones: averaging.
        dtype: of the floating-point tensors of the output; the base's own when `None`.
        max_distance: a finetune farther from the base than this is refused.
        overwrite: replace an existing checkpoint.

    Raises:
        AlignmentError: checkpoints that do not fit; lists every problem.
        WeightsError: weights outside the rule's domain.
        StorageError: the disk refused; nothing half-written is left.
    """
    started = time.perf_counter()
    opened, finetunes = open_checkpoint(base), _open_all(tasks)
    align(opened, finetunes, max_distance=max_distance).raise_if_bad()
    specs = {name: _converted(opened.spec(name), dtype) for name in opened}
    texts = _config_text(opened, dtype)
    inputs = collect_inputs(finetunes, base=opened)
    as_values(weights, inputs, rule)  # bad weights are refused before anything is written
    blocks = merge_blocks(inputs, weights, rule)
    path = write_checkpoint(
        out,
        specs,
        ((name, merged[0]) for name, merged in blocks),
        side_files=[file for file in opened.side_files if file.name not in texts],
        texts=texts,
        manifest={"kind": "merged checkpoint", "rule": repr(rule), "weights": dict(weights)},
        overwrite=overwrite,
    )
    total = sum(spec.numel for spec in specs.values())
    return MergeSummary(str(path), len(specs), total, dict(weights), repr(rule), time.perf_counter() - started)


def _open_all(tasks: Mapping[str, Any]) -> dict[str, Checkpoint]:
    if not tasks:
        raise InputError("no finetunes: give at least one --task name=DIR")
    return {task: open_checkpoint(path) for task, path in tasks.items()}


def _converted(spec: TensorSpec, dtype: str | None) -> TensorSpec:
    if dtype is None or not spec.is_mergeable:
        return spec
    if dtype not in DTYPES:
        raise InputError(f"unknown dtype {dtype!r}: one of {', '.join(DTYPES)}")
    return TensorSpec(spec.shape, DTYPES[dtype])


def _config_text(base: Checkpoint, dtype: str | None) -> dict[str, str]:
    """The base's `config.json` with the new dtype in it, so that loaders read what is there."""
    if dtype is None:
        return {}
    for file in base.side_files:
        if file.name == "config.json":
            try:
                config = json.loads(file.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise CheckpointError(f"{file} cannot be read as JSON: {error}. Repair it or copy it again") from error
            return {"config.json": json.dumps(_with_dtype(config, dtype), indent=2) + "\n"}
    return {}


def _with_dtype(config: Any, dtype: str) -> Any:
    """The same configuration with another dtype, also in its parts (`text_config`, `vision_config`)."""
    if not isinstance(config, dict):
        return config
    named = ("dtype", "torch_dtype")
    return {key: dtype if key in named else _with_dtype(value, dtype) for key, value in config.items()}
