"""Baselines that only measure: evenly spread or random points, and the front of what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from paretomerge.errors import DataError, nearest
from paretomerge.fronts.methods.base import Evaluate, FrontEstimate, FrontProblem
from paretomerge.fronts.methods.loop import Log, OnBatch, ignore, require_budget, require_scored
from paretomerge.fronts.search import front_of_predictions
from paretomerge.types import Domain, are_feasible

KINDS = ("sobol", "random")


@dataclass(frozen=True)
class Spaced:
    """Settings of a search without a surrogate.

    Args:
        kind: `"sobol"` for a scrambled Sobol sequence, `"random"` for independent uniform points.
        batch: points evaluated at a time.
    """

    kind: Literal["sobol", "random"] = "sobol"
    batch: int = 5

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.kind not in KINDS:
            raise DataError(f"unknown kind {self.kind!r}{nearest(self.kind, KINDS)}: use {' or '.join(KINDS)}")
        if self.batch < 1:
            raise DataError(f"batch={self.batch}, expected a number of points >= 1")

    def search(
        self,
        problem: FrontProblem,
        evaluate: Evaluate,
        budget: int,
        seed: int = 0,
        on_batch: OnBatch = ignore,
    ) -> FrontEstimate:
        """Evaluate `budget` points; the front is the non-dominated part of those measured to be feasible.

        Raises:
            DataError: a budget of zero, no score at all, or no feasible point.
        """
        require_budget(budget, 1)
        log = Log.of(problem)
        points = _points(problem.domain, self.kind, budget, seed)
        for start in range(0, budget, self.batch):
            log.evaluate(evaluate, points[start : start + self.batch])
            if log.asked < budget:
                on_batch(_estimate(log, problem, "") if _any_feasible(log, problem) else None, log.asked)
        estimate = _estimate(log, problem, f"the budget of {budget} evaluations is spent")
        on_batch(estimate, log.asked)
        return estimate


def _points(domain: Domain, kind: str, count: int, seed: int) -> np.ndarray:
    if kind == "sobol":
        return domain.spread(count, seed)
    return domain.from_cube(np.random.default_rng(seed).random((count, domain.cube_dimension)))


def _any_feasible(log: Log, problem: FrontProblem) -> bool:
    return bool(len(log.scores) and are_feasible(log.scores.values, problem.objectives, problem.constraints).any())


def _estimate(log: Log, problem: FrontProblem, stopped: str) -> FrontEstimate:
    require_scored(log)
    none = log.scores.take([])
    front = front_of_predictions(log.scores, none, problem.traded_columns, problem.constraints, size=len(log.scores))
    return FrontEstimate(front, log.scores, None, stopped, details=log.details())
