"""Sets of models against the joint front; the single finetunes belong to both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.suite.measures.truth import ACCURACY, LOSS, Truth
from benchmarks.suite.recording import Recording
from paretomerge.fronts import additive_epsilon, hypervolume_ratio, igd_plus
from paretomerge.types import Scores

MOST_OBJECTIVES = 10
"""With more of them a hypervolume takes minutes, and nearly every point is on the front anyway."""


def fronts(found: Recording, truth: Truth, rows: Sequence[int] | None = None) -> dict[str, float]:
    """Hypervolume ratio (losses and accuracies), IGD+ and additive epsilon in nats.

    Args:
        found: the models, any number.
        truth: with the reference point.
        rows: weightings of the truth, and of the models, that are compared; all of both if not given.
    """
    numbers = {}
    for metric, prefix in ((LOSS, ""), (ACCURACY, "accuracy_")):
        if not truth.has(metric):
            continue
        ends = truth.corners.scores(metric)
        ours = Scores.concatenate([found.scores(metric, rows=rows), ends])
        theirs = Scores.concatenate([truth.joint.scores(metric, rows=rows), ends])
        if len(ends.objectives) <= MOST_OBJECTIVES:
            ratio = hypervolume_ratio(ours, theirs, reference=truth.reference(metric))
            numbers[f"{prefix}hypervolume_ratio"] = ratio
        if metric == LOSS:
            numbers["igd_plus"] = igd_plus(ours, theirs)
            numbers["additive_epsilon"] = additive_epsilon(ours, theirs)
    return numbers


def as_many(found: Recording, truth: Truth) -> dict[str, float]:
    """Hypervolume ratio of no more models than there are weightings, as larger sets cover more.

    Models are chosen by their coefficients, without a look at their scores.
    """
    if not truth.has(LOSS) or len(truth.joint.tasks) > MOST_OBJECTIVES:
        return {}
    ends = truth.corners.scores(LOSS)
    ours = Scores.concatenate([found.scores(LOSS, rows=spread(found.weights, len(truth.joint.weights))), ends])
    theirs = Scores.concatenate([truth.joint.scores(LOSS), ends])
    return {"hypervolume_ratio_of_as_many": hypervolume_ratio(ours, theirs, reference=truth.reference(LOSS))}


def spread(points: np.ndarray, count: int) -> list[int]:
    """At most `count` rows far from each other: the one nearest to the middle, then always the farthest from all.

    >>> spread(np.array([[0.0], [0.1], [0.5], [0.9], [1.0]]), 3)
    [2, 0, 4]
    """
    chosen = [int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmin())]
    while len(chosen) < min(count, len(points)):
        nearest = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(axis=1)
        nearest[chosen] = -1.0
        chosen.append(int(nearest.argmax()))
    return chosen
