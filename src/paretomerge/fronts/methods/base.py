"""What every method of estimating a front is: a budget of evaluations in, a front with uncertainty out.

A method is a frozen dataclass of its settings. It is pure: models are scored by the function it is given, and
everything random comes from a seed, so that the same call asks for the same evaluations in the same order. That is
how an interrupted search resumes (stored evaluations are recalled instead of measured), and how a budget is extended:
with a larger one, the same method first asks for what it asked for before.

Shapes: `N` points, `D` coordinates of the domain, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from paretomerge.fronts.problem import FrontProblem, PredictedLosses
from paretomerge.surrogates import Fitted
from paretomerge.types import Front, Objective, Scores

__all__ = ["Evaluate", "FrontEstimate", "FrontMethod", "FrontProblem", "PredictedLosses"]

Evaluate = Callable[[np.ndarray, Sequence[Objective]], Scores]
"""`(points [B, D], objectives) → their scores`. Points that could not be scored are left out of the result."""


@dataclass(frozen=True, eq=False)
class FrontEstimate:
    """What a method found.

    Attributes:
        front: the predicted front over the domain, feasible points only, of the traded objectives.
        scores: everything that was evaluated, in order, all objectives.
        surrogate: what predicted the front; `None` for methods that only measure.
        stopped: why the search ended, in words: the budget, or the stopping rule.
        gain: expected relative gain in hypervolume of a further batch; NaN where it is not known.
        details: method-specific numbers for the journal, plain JSON.
    """

    front: Front
    scores: Scores
    surrogate: Fitted | None
    stopped: str
    gain: float = float("nan")
    details: dict[str, object] = field(default_factory=dict)


class FrontMethod(Protocol):
    """A way to estimate a front."""

    def search(
        self,
        problem: FrontProblem,
        evaluate: Evaluate,
        budget: int,
        seed: int = 0,
        on_batch: Callable[[FrontEstimate | None, int], None] = lambda estimate, evaluated: None,
    ) -> FrontEstimate:
        """Spend at most `budget` evaluations (models scored) and estimate the front.

        Args:
            problem: what is traded off, and where.
            evaluate: scores models; called with batches.
            budget: evaluations, those recalled from an earlier search included.
            seed: of everything random.
            on_batch: called after each batch with the number of evaluations so far.

        Raises:
            DataError: a budget that this method cannot work with, with the smallest one that it can.
        """
        ...
