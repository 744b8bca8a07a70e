"""Previews after a few joint trainings, as `paretomerge verify` recalibrates them: errors at the other weightings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.suite.measures.truth import LOSS, Truth
from benchmarks.suite.recording import Recording
from paretomerge.surrogates import FittedDiscrepancy, fit_discrepancy, informative_points
from paretomerge.types import Scores

COUNTS = (1, 2, 3)
MOST_TASKS = 10
"""More tasks than this are not recalibrated: the few trainings are fewer than the corners already known."""
WIDTH = 1.6449
"""Of nominal 90 % intervals, in standard deviations."""


def recalibration(found: Recording, truth: Truth) -> dict[str, float]:
    """After one, two and three informative weightings were trained.

    `recalibrated_error_N` and `previewed_error_N` are mean absolute errors after and before, over the weightings that
    were not trained (`recalibrated_error_interior_N` over those of them that give every task some weight);
    `recalibrated_coverage_N` the share of their truths inside 90 % intervals. Weightings are chosen
    as `verify` chooses them, without a look at the truth; joint runs that the method has used already come first, and
    a method that used those of another seed is not recalibrated. The noise of finite test sets is known from paired
    examples.
    """
    if len(truth.joint.weights) <= max(COUNTS) or len(truth.joint.tasks) > MOST_TASKS:
        return {}
    pairs = Pairs(found, truth)
    first = found.facts["found"].get("trained_rows", ())
    if not pairs.known(first):
        return {}
    order = informative_points(pairs.fit([]), truth.joint.weights, max(COUNTS), first)
    numbers = {}
    for count in COUNTS:
        for name, value in pairs.errors(order[:count]).items():
            numbers[f"{name}_{count}"] = value
    return numbers


class Pairs:
    """Previews and truths at all weightings, corners last, with the noise of their paired differences."""

    def __init__(self, found: Recording, truth: Truth) -> None:
        """Of one method."""
        ends = truth.corners.scores(LOSS)
        self.count = len(truth.joint.weights)
        self.truths = Scores.concatenate([truth.joint.scores(LOSS), ends])
        merged = Scores.concatenate([found.scores(LOSS), ends])
        self.previews = Scores(*(getattr(merged, name) for name in FIELDS), "merged")
        self.noise = np.stack([noise_of(found, truth, objective.name) for objective in ends.objectives])

    def known(self, rows: Sequence[int]) -> bool:
        """Whether previews are the truth there."""
        chosen = list(rows)
        return bool(np.array_equal(self.previews.values[chosen], self.truths.values[chosen]))

    def fit(self, trained: Sequence[int]) -> FittedDiscrepancy:
        """To some weightings, and to the single finetunes, where preview and truth are one."""
        rows = np.array([*trained, *range(self.count, len(self.truths))])
        noise = self.noise[:, rows[:, None], rows]
        return fit_discrepancy(self.previews.take(rows), self.truths.take(rows), noise=noise)

    def errors(self, trained: Sequence[int]) -> dict[str, float]:
        """At the weightings that were not trained."""
        mean, stdev = self.fit(trained).predict(self.truths.weights, self.previews.values)
        rest = [row for row in range(self.count) if row not in trained]
        noise = np.sqrt(stdev**2 + np.diagonal(self.noise, axis1=1, axis2=2).T)
        off = np.abs(mean - self.truths.values)
        inside = [row for row in rest if (self.truths.weights[row] > 0).all()]
        interior = {"recalibrated_error_interior": float(off[inside].mean())} if inside else {}
        return {
            **interior,
            "recalibrated_error": float(off[rest].mean()),
            "previewed_error": float(np.abs(self.previews.values - self.truths.values)[rest].mean()),
            "recalibrated_coverage": float((off <= WIDTH * noise)[rest].mean()),
        }


FIELDS = ("tasks", "weights", "values", "stderr", "objectives")


def noise_of(found: Recording, truth: Truth, name: str) -> np.ndarray:
    """`[K + T, K + T]`, covariance of the mean paired differences of one objective; zero at the corners."""
    apart = truth.joint.examples[name].astype(np.float64) - found.examples[name].astype(np.float64)
    apart = np.concatenate([apart, np.zeros((len(truth.corners.weights), apart.shape[1]))])
    apart -= apart.mean(axis=1, keepdims=True)
    count = apart.shape[1]
    return apart @ apart.T / (count * (count - 1))
