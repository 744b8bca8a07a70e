"""mergekit configurations: running one, and writing a chosen point as one."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from paretomerge.checkpoints import Checkpoint, Repairs
from paretomerge.checkpoints.atomic import write_text
from paretomerge.errors import CheckpointError
from paretomerge.exports import mergekit_config
from paretomerge.recipes.mergekit import load_mergekit
from paretomerge.stages.decide import point_of
from paretomerge.stages.fit import fit_run
from paretomerge.stages.merge import MergeSummary, batch_of, write_merged
from paretomerge.stages.merge_inputs import MergeOptions, prepare_merge
from paretomerge.stages.previews import with_strength
from paretomerge.stages.scoring import Progress, silent
from paretomerge.stages.streaming import Advance
from paretomerge.stages.study import Study
from paretomerge.types import PatternWeights


def merge_mergekit(
    out: str | os.PathLike[str],
    config: str | os.PathLike[str],
    options: MergeOptions = MergeOptions(),
    repairs: Repairs = Repairs(),
    *,
    seed: int = 0,
    advance: Advance = lambda done, total: None,
) -> MergeSummary:
    """Run a mergekit configuration; its dtype and tokenizer hold unless `options` and `repairs` say otherwise.

    Args:
        out: the folder to write.
        config: the YAML file; its paths are relative to the working directory.
        options: see `MergeOptions`.
        repairs: see `Repairs`.
        seed: of the methods that drop elements at random.
        advance: `(done, total)` bytes, called after each tensor.

    Raises:
        RecipeError: a configuration that cannot be read, or asks for what is not supported.
        AlignmentError, CheckpointError, WeightsError, StorageError: as `merge_checkpoints`.
    """
    started = time.perf_counter()
    recipe = load_mergekit(config)
    options = replace(options, dtype=options.dtype or recipe.output_dtype)
    repairs = replace(repairs, tokenizer=repairs.tokenizer or recipe.tokenizer)
    base, tasks = recipe.base.open(), {task: path.open() for task, path in recipe.models.items()}
    drops = recipe.method.startswith(("dare", "della"))
    prepared = prepare_merge(base, tasks, options, repairs, drops_at_random=drops)
    plan = recipe.plan(list(prepared.inputs.posteriors[0].specs), seed=seed)
    weighting = plan.weighting
    default = weighting.default if isinstance(weighting, PatternWeights) else weighting
    patterns = weighting.patterns if isinstance(weighting, PatternWeights) else {}
    rows = batch_of([default], patterns, tuple(tasks))
    # Where the base is one of the models, as in slerp, it is equal to itself and nothing is wrong.
    itself = {task for task, path in recipe.models.items() if path == recipe.base}
    expected = [finding for finding in prepared.warnings if finding.kind == "identical" and finding.task in itself]
    warnings = tuple(finding for finding in prepared.warnings if finding not in expected)
    prepared = replace(prepared, warnings=warnings)
    notes: dict[str, object] = {"weights": dict(default), "weights_for": {k: dict(v) for k, v in patterns.items()}}
    notes["mergekit"] = Path(config).read_text(encoding="utf-8")
    return write_merged(prepared, out, rows, [notes], plan.rule, options, advance, started, plan.warnings)


def export_mergekit(
    study: Study,
    point: str | int,
    file: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Path:
    """Write a point of a run's front as a mergekit configuration of the same merge.

    Args:
        study: the run.
        point: its number on the front, or `"chosen"`.
        file: the YAML file to write.
        overwrite: replace an existing file.
        progress: called with short messages.

    Raises:
        InputError: no such point, or a rule or family that mergekit does not have: export the checkpoint then.
        CheckpointError: the file exists.
        StorageError: the disk refused.
    """
    target = Path(file).expanduser()
    if target.exists() and not overwrite:
        raise CheckpointError(f"{target}: the file exists: choose another name, or ask to overwrite it")
    chosen, fitted = point_of(study, point, progress), fit_run(study, progress)
    text = mergekit_config(
        chosen.weights,
        with_strength(fitted.method.rule, fitted.damping),
        study.recipe.base,
        {task: section.checkpoint for task, section in study.recipe.tasks.items()},
        _dtype_name(study.base),
        family=study.recipe.posterior.family,
    )
    return write_text(target, text)


def _dtype_name(base: Checkpoint) -> str:
    """The dtype of most of the base's parameters."""
    counts: dict[str, int] = {}
    for name in base:
        spec = base.spec(name)
        if spec.is_mergeable:
            key = str(spec.dtype).removeprefix("torch.")
            counts[key] = counts.get(key, 0) + spec.numel
    return max(counts, key=lambda key: counts[key])
