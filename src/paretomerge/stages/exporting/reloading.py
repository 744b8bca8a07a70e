"""Does an exported folder, loaded again, score what the run measured?"""

from __future__ import annotations

import contextlib
import json
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paretomerge.checkpoints import MANIFEST, Checkpoint, open_checkpoint
from paretomerge.checkpoints.paths import user_path
from paretomerge.errors import CheckpointError, EvaluationError
from paretomerge.evaluation import Evaluation, evaluate_one
from paretomerge.exports.loading import class_name, read_config
from paretomerge.stages.exporting.export import measured_point
from paretomerge.stages.exporting.points import OFF_FRONT
from paretomerge.stages.fitting.adam import without_bars
from paretomerge.stages.scoring.models import Progress, silent
from paretomerge.stages.study import Study
from paretomerge.types import FrontPoint, Ledger, Params, spec_of

SAME = 2e-6
"""Scores of the same parameters agree to this, relative to one plus their size: sums in another order."""


@dataclass(frozen=True)
class ExportCheck:
    """Scores of a reloaded export beside those of the run.

    Args:
        folder: the export.
        loaded_by: `"transformers"`, `"peft"` or `"paretomerge"`.
        expected: objective to the run's score on test data.
        found: objective to the score after loading.
        allowed: objective to the difference that rounding explains.
    """

    folder: str
    loaded_by: str
    expected: dict[str, float]
    found: dict[str, float]
    allowed: dict[str, float]

    @property
    def largest(self) -> tuple[str, float]:
        """The objective with the largest difference, and the difference."""
        name = max(self.expected, key=lambda name: abs(self.found[name] - self.expected[name]))
        return name, abs(self.found[name] - self.expected[name])

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def check_export(study: Study, folder: str | os.PathLike[str], progress: Progress = silent) -> ExportCheck:
    """Load an exported folder as its readers will, score it on test data, and compare with the run's own scores.

    Checkpoints with a configuration are loaded by transformers, adapters by peft, where these are installed.

    Args:
        study: the run that it was exported from.
        folder: what `export_point` or `export_adapter` wrote.
        progress: called with short messages.

    Raises:
        CheckpointError: no export of this run, or one that transformers or peft loads only in part.
        EvaluationError: scores differ by more than rounding explains; the message has both.
        StorageError: the disk refused.
    """
    folder = user_path(folder)
    manifest = _manifest(study, folder)
    stored = manifest["point"]
    number = OFF_FRONT if stored["id"] is None else stored["id"]
    point = FrontPoint(number, stored["weights"], stored["values"], stored["stdev"], stored["origin"])
    expected = measured_point(study, point, progress).values
    progress(f"loading {folder} again")
    started = time.perf_counter()
    params, loaded_by = _reload(study.base, folder, manifest)
    found = evaluate_one(params, study.evaluator("test"), study.objectives)
    with study.folder.open_journal() as journal:
        journal.charge("export", Ledger(evaluations=1, seconds=time.perf_counter() - started))
    names = [objective.name for objective in study.objectives]
    error = float(manifest.get("adapter", {}).get("relative_error", 0.0))
    check = ExportCheck(
        folder=str(folder),
        loaded_by=loaded_by,
        expected={name: expected[name] for name in names},
        found=dict(zip(names, found.values.tolist(), strict=True)),
        allowed=_allowed(found, names, _coarseness(study.base, params, error)),
    )
    _require_same(check)
    return check


def _require_same(check: ExportCheck) -> None:
    for name, score in check.found.items():
        wanted = check.expected[name]
        if not abs(score - wanted) <= check.allowed[name]:
            raise EvaluationError(
                f"{check.folder}: loaded again by {check.loaded_by} it scores {name} = {score:.6g}, but the run "
                f"measured {wanted:.6g}; rounding explains {check.allowed[name]:.2g}. The files were changed, the "
                "installed library reads them differently, or the evaluator is random: export again, and score one "
                "model twice"
            )


def _allowed(found: Evaluation, names: list[str], coarse: float) -> dict[str, float]:
    """Per objective: rounding, and where parameters are not the very same, two examples that change sides."""
    allowed = {}
    for name, value in zip(names, found.values, strict=True):
        examples = np.asarray(found.examples.get(name, np.zeros(0)))
        sides = len(examples) > 0 and bool(np.isin(examples, (0.0, 1.0)).all())
        flips = 2 / len(examples) if coarse > SAME and sides else 0.0
        allowed[name] = coarse * (1 + abs(float(value))) + flips
    return allowed


def _coarseness(base: Checkpoint, params: Params, error: float) -> float:
    """How far parameters may be from those that the run scored, relatively: other dtypes, and an adapter's error."""
    coarse = max(SAME, 4 * error)
    for name in params:
        ours, theirs = spec_of(params, name), base.spec(name)
        if ours.is_mergeable and ours.dtype != theirs.dtype:
            coarse = max(coarse, 4 * max(torch.finfo(ours.dtype).eps, torch.finfo(theirs.dtype).eps))
    return coarse


def _manifest(study: Study, folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        digest, _ = content["base"]["digest"], content["point"]["weights"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{folder} holds no export of a run (its {MANIFEST} lacks the point)") from error
    if digest != study.digests["base"]:
        raise CheckpointError(f"{folder} was exported on another base than the one of {study.folder.path}")
    return dict(content)


def _reload(base: Checkpoint, folder: Path, manifest: Mapping[str, Any]) -> tuple[Params, str]:
    """The parameters under the base's names, and who loaded them."""
    is_adapter = "adapter" in manifest
    own = open_checkpoint(folder, base if is_adapter else None)
    config = read_config(base.side_files if is_adapter else own.side_files)
    state, by = None, "paretomerge"
    if config.get("architectures"):
        by = "peft" if is_adapter else "transformers"
        state = _by_peft(base, folder, config) if is_adapter else _by_transformers(folder, config)
    if state is None or any(name not in state for name in base):
        return own, "paretomerge"
    return {name: state[name] for name in base}, by


def _by_transformers(folder: Path, config: Mapping[str, Any]) -> dict[str, Tensor] | None:
    try:
        import transformers
    except ImportError:
        return None
    cls = getattr(transformers, class_name(config), None)
    if cls is None:  # a class that is not part of the library: only its own code could load it
        return None
    try:
        with _quiet():
            model, info = cls.from_pretrained(folder, output_loading_info=True)
    except Exception as error:
        raise CheckpointError(f"{folder}: transformers cannot load it: {type(error).__name__}: {error}") from error
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info.get(what):
            names = ", ".join(map(str, list(info[what])[:3]))
            raise CheckpointError(
                f"{folder}: transformers loads it as {cls.__name__} with {what.replace('_', ' ')}: {names}. The base's "
                "configuration does not describe its weights"
            )
    return dict(model.state_dict())


def _by_peft(base: Checkpoint, folder: Path, config: Mapping[str, Any]) -> dict[str, Tensor] | None:
    try:
        import peft
        import transformers
    except ImportError:
        return None
    cls = getattr(transformers, class_name(config), None)
    if cls is None or base.source is None or not base.source.is_dir():
        return None
    try:
        with _quiet():
            model = peft.PeftModel.from_pretrained(cls.from_pretrained(base.source), folder).merge_and_unload()
    except Exception as error:
        raise CheckpointError(f"{folder}: peft cannot load it: {type(error).__name__}: {error}") from error
    return dict(model.state_dict())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars of transformers and other libraries' warnings: what matters is compared afterwards."""
    from transformers.utils import logging

    with without_bars(logging), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
