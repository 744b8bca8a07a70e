"""`merge` on checkpoints: from disk to disk, no data and no recipe."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paretomerge.checkpoints import Repairs, Source
from paretomerge.checkpoints.atomic import remove_abandoned, storage_errors
from paretomerge.checkpoints.writing.new_folder import new_folder
from paretomerge.errors import InputError
from paretomerge.merging import BlockValues, ByPattern, FisherWeighted, MergeRule, MixtureMerge, PosteriorMerge
from paretomerge.stages.merging.inputs import MergeOptions, PreparedMerge, prepare_merge
from paretomerge.stages.merging.streaming import Advance, stream_merge
from paretomerge.types import PatternWeights, require_tasks


@dataclass(frozen=True)
class MergeSummary:
    """What a merge wrote: one folder per weighting, and what it took."""

    paths: tuple[str, ...]
    tensors: int
    parameters: int
    weights: tuple[dict[str, float], ...]
    rule: str
    seconds: float
    warnings: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    damping: float | None = None


def merge_checkpoints(
    out: str | os.PathLike[str],
    base: Source,
    tasks: Mapping[str, Source],
    weights: Mapping[str, float] | Sequence[Mapping[str, float]],
    rule: MergeRule = PosteriorMerge(),
    options: MergeOptions = MergeOptions(),
    repairs: Repairs = Repairs(),
    *,
    weights_for: Mapping[str, Mapping[str, float]] | None = None,
    advance: Advance = lambda done, total: None,
) -> MergeSummary:
    """Merge checkpoints on disk into new checkpoint folders, block by block.

    Several weightings are merged in one sweep over the inputs, into the folders `out/1`, `out/2`, ….

    Args:
        out: the folder to write.
        base: the base checkpoint: order, dtypes, configuration and tokenizer come from it.
        tasks: task → finetuned checkpoint, adapter on the base, or file of a posterior.
        weights: task → weight (or coefficient, where that is the rule's domain); a list for several merges.
        rule: the merge rule. For plain checkpoints `PosteriorMerge` means isotropic posteriors: averaging.
        options: see `MergeOptions`.
        repairs: names, private and skipped tensors, vocabularies; see `Repairs`.
        weights_for: pattern of tensor names → weights that hold there instead; the first that matches wins.
        advance: `(done, total)` bytes, called after each tensor.

    Raises:
        AlignmentError: checkpoints that do not fit; lists every problem.
        CheckpointError: an input or the output folder that cannot be used, or a merge that is not finite.
        WeightsError: weights outside the rule's domain.
        PosteriorError: posteriors that cannot be merged.
        StorageError: the disk refused; nothing half-written is left.
    """
    started = time.perf_counter()
    _require_use_of_damping(rule, options)
    many = [weights] if isinstance(weights, Mapping) else list(weights)
    drops = getattr(rule, "drops_at_random", False)
    prepared = prepare_merge(base, tasks, options, repairs, drops_at_random=drops)
    rows = batch_of(many, weights_for, tuple(tasks))
    notes: dict[str, object] = {"weights_for": {key: dict(own) for key, own in (weights_for or {}).items()}}
    return write_merged(
        prepared, out, rows, [{"weights": dict(row), **notes} for row in many], rule, options, advance, started
    )


def write_merged(
    prepared: PreparedMerge,
    out: str | os.PathLike[str],
    rows: Any,
    notes: Sequence[Mapping[str, object]],
    rule: MergeRule,
    options: MergeOptions,
    advance: Advance,
    started: float,
    remarks: Sequence[str] = (),
) -> MergeSummary:
    """Merge and write all weightings; `notes` are what each manifest says of its own, `remarks` further warnings."""
    BlockValues(rows, prepared.inputs, rule)  # bad weights are refused before anything is written
    folder = Path(out)
    outs = [folder] if len(notes) == 1 else [folder / str(number) for number in range(1, len(notes) + 1)]
    with ExitStack() as stack:
        # Several appear together: half of them would stand in the way of the same command.
        together = len(notes) > 1 and not (folder.exists() and any(folder.iterdir()))
        place = stack.enter_context(new_folder(folder, overwrite=False)) if together else folder
        if len(notes) > 1 and not together:
            with storage_errors(folder):
                remove_abandoned(folder)
        paths = [place / path.name for path in outs] if len(notes) > 1 else outs
        writers = [stack.enter_context(prepared.writer(path, options)) for path in paths]
        writers[0].require_space(sum(writer.nbytes + prepared.private_nbytes for writer in writers))
        stream_merge(prepared.inputs, rows, rule, writers, prepared.specs, options.device, advance)
        for writer in writers:
            for task, own in prepared.private.items():
                writer.add_file(f"private/{task}.safetensors", own)
        prepared.require_unchanged()
        for writer, note in zip(writers, notes, strict=True):
            said = {key: value for key, value in note.items() if value}
            writer.commit({**prepared.manifest(rule), **options.changes, **said})
    return MergeSummary(
        tuple(str(path) for path in outs),
        len(prepared.specs),
        sum(spec.numel for spec in prepared.specs.values()),
        tuple(note["weights"] for note in notes),  # type: ignore[misc]
        repr(rule),
        time.perf_counter() - started,
        (*remarks, *(str(finding) for finding in prepared.warnings)),
        prepared.inputs.tally.counts,
        options.damping,
    )


def _require_use_of_damping(rule: MergeRule, options: MergeOptions) -> None:
    """Damping changes precisions: a rule that merges means alone would silently leave it out."""
    if options.damping is not None and not isinstance(rule, PosteriorMerge | FisherWeighted | MixtureMerge | ByPattern):
        raise InputError(
            f"{type(rule).__name__} merges the means of posteriors and no precisions, which damping is added to: leave "
            "the damping out, or take the rule posterior, fisher or mixture"
        )


def batch_of(
    many: Sequence[Mapping[str, float]], weights_for: Mapping[str, Mapping[str, float]] | None, tasks: tuple[str, ...]
) -> Any:
    """The weightings as one batch, and those of patterns repeated for each."""
    if not many:
        raise InputError("no weights: give at least one weighting")

    def row(weights: Mapping[str, float]) -> list[float]:
        require_tasks(list(weights), tasks)
        return [weights[task] for task in tasks]

    default = [row(weights) for weights in many]
    if not weights_for:
        return default
    return PatternWeights(default, {pattern: [row(own)] * len(many) for pattern, own in weights_for.items()})
