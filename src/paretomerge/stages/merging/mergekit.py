"""Running a mergekit configuration."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from paretomerge.checkpoints import Repairs
from paretomerge.recipes.mergekit import load_mergekit
from paretomerge.stages.merging.inputs import MergeOptions, prepare_merge
from paretomerge.stages.merging.merge import MergeSummary, batch_of, write_merged
from paretomerge.stages.merging.streaming import Advance
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
