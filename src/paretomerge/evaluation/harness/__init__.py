"""Tasks of lm-evaluation-harness (Gao et al., 2021) on merged language models in memory."""

from __future__ import annotations

from paretomerge.evaluation.harness.evaluator import HarnessEvaluator
from paretomerge.evaluation.harness.model import LanguageModel
from paretomerge.evaluation.harness.tasks import (
    HarnessSettings,
    HarnessTask,
    harness_digest,
    harness_objectives,
    harness_version,
)

__all__ = [
    "HarnessEvaluator",
    "HarnessSettings",
    "HarnessTask",
    "LanguageModel",
    "harness_digest",
    "harness_objectives",
    "harness_version",
]
