"""What lm-eval logged of a task's examples, as scores: one per example for means, else a number and its error.

Shapes: `n` examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import numpy as np

from paretomerge.errors import EvaluationError
from paretomerge.evaluation.base import STDERR
from paretomerge.evaluation.harness.tasks import Measure

_GROUPS = 100
"""Groups of the jackknife at most: each costs an aggregation."""


def scores_of(
    samples: Sequence[Mapping[str, Any]],
    measures: Sequence[Measure],
    wanted: Container[str],
    totals: Mapping[str, Any],
    aggregations: Mapping[str, Callable[[list[Any]], Any]],
    task: str,
) -> dict[str, np.ndarray | float]:
    """Metric → per-example scores `[n]` in the order of the examples, whose mean is lm-eval's own number.

    A metric that is no mean of its examples' values (perplexity, BLEU) is lm-eval's number, and beside it as
    `<metric>_stderr` its standard error by the delete-a-group jackknife: with `g` groups of examples and `T_-j` the
    metric without group `j`, `s² = (g - 1) / g Σ_j (T_-j - mean)²` (Kott, 2001, The delete-a-group jackknife).

    Args:
        samples: what lm-eval logged per example and filter.
        measures: the numbers that the task may give.
        wanted: labels of those that it must give.
        totals: lm-eval's aggregated numbers, `"metric,filter"` → number.
        aggregations: metric → how lm-eval aggregates it.
        task: lm-eval's name, for errors.

    Raises:
        EvaluationError: a metric that lm-eval did not compute.
    """
    found: dict[str, np.ndarray | float] = {}
    for measure in measures:
        values = [
            sample[measure.metric]
            for sample in sorted(samples, key=lambda sample: int(sample["doc_id"]))
            if sample["filter"] == measure.filter and measure.metric in sample
        ]
        total = totals.get(f"{measure.metric},{measure.filter}")
        if total is None or not values:
            if measure.label not in wanted:
                continue
            known = ", ".join(key for key in totals if "," in key and "_stderr," not in key)
            raise EvaluationError(
                f"the lm-eval task {task!r} computed no {measure.metric!r} after the filter {measure.filter!r} (it "
                f"computed {known}): choose another with `metric` and `filter`"
            )
        scores = _means(values, float(total))
        if scores is not None:
            found[measure.label] = scores
            continue
        found[measure.label] = float(total)
        found[measure.label + STDERR] = _jackknife(values, aggregations[measure.metric])
    return found


def _means(values: Sequence[Any], total: float) -> np.ndarray | None:
    """The values as an array, if their mean is the number that lm-eval reports."""
    if not all(isinstance(value, bool | int | float | np.number | np.bool_) for value in values):
        return None
    scores = np.array(values, dtype=np.float64)
    return scores if math.isclose(float(scores.mean()), total, rel_tol=1e-9, abs_tol=1e-12) else None


def _jackknife(values: Sequence[Any], aggregate: Callable[[list[Any]], Any]) -> float:
    """The standard error of an aggregate; zero for one example, of which nobody can know it."""
    groups = min(len(values), _GROUPS)
    if groups < 2:
        return 0.0
    # A fixed random order, because neighbours are often alike.
    member = np.random.default_rng(0).permutation(len(values)) % groups
    without = [
        float(aggregate([value for value, own in zip(values, member, strict=True) if own != group]))
        for group in range(groups)
    ]
    spread = np.array(without) - np.mean(without)
    return float(np.sqrt((groups - 1) / groups * (spread**2).sum()))
