"""Scores that were predicted without evaluating a merge."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.suite.measures.truth import LOSS, Truth
from benchmarks.suite.recording import Recording
from paretomerge.fronts import compare_preview
from paretomerge.types import Scores


def predicted(found: Recording, truth: Truth, rows: list[int]) -> dict[str, float]:
    """Errors and rank correlations of predicted losses `[K, T]`, where the method has any.

    `predicted_error` is against joint finetuning, `predicted_error_of_merge` against the merge that was predicted.
    """
    values = found.facts["found"].get("predicted")
    if values is None:
        return {}
    theirs, merged = truth.joint.scores(LOSS, rows=rows), found.scores(LOSS, "merged", rows)
    values = np.asarray(values, dtype=np.float64)[rows]
    ours = Scores(theirs.tasks, theirs.weights, values, np.zeros_like(values), theirs.objectives, "predicted")
    compared = compare_preview(ours, theirs)
    numbers = {
        "predicted_error": compared.preview_error,
        "predicted_error_of_merge": float(np.abs(values - merged.values).mean()),
    }
    if not math.isnan(compared.rank_correlation):
        numbers["predicted_rank_correlation"] = compared.rank_correlation
    return numbers
