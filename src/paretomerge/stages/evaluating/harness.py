"""lm-eval tasks of a recipe, on the language model that its base is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from paretomerge.checkpoints import Checkpoint
from paretomerge.evaluation import (
    HarnessEvaluator,
    HarnessSettings,
    HarnessTask,
    LanguageModel,
    harness_digest,
    harness_objectives,
    harness_version,
)
from paretomerge.exports import complete_side_files
from paretomerge.recipes import HarnessSection
from paretomerge.stages.opened import Opened
from paretomerge.types import Objective, Split

_FACT = "lm_eval_objectives"


def evaluator_of_harness(
    section: HarnessSection, split: Split, base: Checkpoint, finetunes: Mapping[str, Checkpoint]
) -> HarnessEvaluator:
    """The evaluator of a section.

    Raises:
        CheckpointError: a base that is no language model of transformers.
        DataError: a task that lm-eval does not know, or whose data are not here.
        MissingExtraError: lm-eval is not installed.
    """
    files, _ = complete_side_files(base, finetunes)
    model = LanguageModel(files, base.main_dtype, str(base.source or "the base"))
    settings = _settings(section)
    return HarnessEvaluator(lambda: model.build(settings.device), _tasks(section, split), settings)


def objectives_of_harness(study: Opened, section: HarnessSection) -> tuple[Objective, ...]:
    """What a section measures; kept in the run, because asking lm-eval takes seconds and reads its data.

    Raises:
        DataError, EvaluationError, MissingExtraError: as `evaluator_of_harness`.
    """
    key = _key(section)
    known = _recalled(study)
    if key in known:
        return tuple(Objective.from_dict(each) for each in known[key])
    found = harness_objectives(_tasks(section, "validation"), _settings(section))
    if study.folder.is_run:
        with study.folder.open_journal() as journal:
            journal.note(_FACT, {**known, key: [asdict(each) for each in found]})
    return found


def digest_of_harness(section: HarnessSection, split: Split) -> str:
    """What scores of a section depend on besides the model."""
    return harness_digest(_tasks(section, split), _settings(section))


def _key(section: HarnessSection) -> str:
    """What a section's objectives depend on, as far as it is known without importing lm-eval, which takes seconds."""
    digest = hashlib.sha256(json.dumps(section.model_dump(mode="json"), sort_keys=True).encode())
    digest.update(harness_version().encode())
    for file in sorted(file for folder in section.include for file in Path(folder).rglob("*.yaml")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _recalled(study: Opened) -> dict[str, list[dict[str, object]]]:
    if not study.folder.is_run:
        return {}
    with study.folder.open_journal() as journal:
        return journal.fact(_FACT) or {}


def _tasks(section: HarnessSection, split: Split) -> dict[str, HarnessTask]:
    return {
        name: HarnessTask(
            (task.test if split == "test" else None) or task.task,
            task.metric,
            task.filter,
            section.few_shot if task.few_shot is None else task.few_shot,
            section.limit if task.limit is None else task.limit,
        )
        for name, task in section.lm_eval.items()
    }


def _settings(section: HarnessSection) -> HarnessSettings:
    return HarnessSettings(
        section.include,
        section.batch_size,
        section.chat_template,
        section.system,
        section.max_length,
        section.seed,
        section.network,
        section.unsafe_code,
        section.device,
    )
