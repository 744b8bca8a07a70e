"""Previews against joint finetuning, weighting by weighting.

Shapes: `K` weightings, `T` tasks.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.suite.measures.truth import ACCURACY, LOSS, Truth
from benchmarks.suite.recording import Recording
from paretomerge.fronts import compare_preview
from paretomerge.types import Scores

Numbers = dict[str, float]


def previews(found: Recording, truth: Truth, rows: list[int]) -> Numbers:
    """Errors over some weightings.

    `loss_error` is the mean over weightings and tasks of `|preview - truth|`, in nats; `loss_bias` without the absolute
    value; `loss_error_to_mean` holds the preview against the mean of all joint grids instead of the first.
    """
    ours, theirs = found.scores(LOSS, "merged", rows), truth.joint.scores(LOSS, rows=rows)
    compared = compare_preview(ours, theirs)
    numbers = {
        "loss": float(ours.values.mean()),
        "loss_error": compared.preview_error,
        "loss_bias": compared.bias,
        "scalarised_loss": float((ours.values * ours.weights).sum(axis=1).mean()),
        **where(ours, theirs),
        **{f"loss_error[{o.task}]": compared.preview_error_by_objective[o.name] for o in ours.objectives},
    }
    if not math.isnan(compared.rank_correlation):
        numbers["rank_correlation"] = compared.rank_correlation
    if truth.has(ACCURACY):
        hits, true_hits = found.scores(ACCURACY, "merged", rows), truth.joint.scores(ACCURACY, rows=rows)
        numbers["accuracy"] = float(hits.values.mean())
        numbers["accuracy_error"] = float(np.abs(hits.values - true_hits.values).mean())
    repeated = [row for row in rows if row < len(truth.mean(LOSS))]
    if truth.repeats and repeated:
        middle = truth.mean(LOSS).values[repeated]
        numbers["loss_error_to_mean"] = float(np.abs(found.scores(LOSS).values[repeated] - middle).mean())
    return numbers


def where(ours: Scores, theirs: Scores) -> Numbers:
    """The error inside the simplex, on its edges, and of tasks without any weight; each where there are such."""
    errors = np.abs(ours.values - theirs.values)
    weighted = theirs.weights > 0
    inside = weighted.all(axis=1)
    parts = {
        "interior": errors[inside],
        "edges": errors[~inside][weighted[~inside]],
        "unweighted": errors[~weighted],
    }
    return {f"loss_error_{name}": float(part.mean()) for name, part in parts.items() if part.size}
