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

from paretomerge.surrogates import Fitted
from paretomerge.types import Constraint, Domain, Front, Objective, Scores

Evaluate = Callable[[np.ndarray, Sequence[Objective]], Scores]
"""`(points [B, D], objectives) → their scores`. Points that could not be scored are left out of the result."""

PredictedLosses = Callable[[np.ndarray], np.ndarray]
"""`points [K, D] → losses [K, T]` as posteriors predict them, at no evaluation."""


@dataclass(frozen=True, eq=False)
class FrontProblem:
    """What is traded off, and where.

    Args:
        domain: where points are searched.
        tasks: the `T` tasks, the columns of `predicted_losses`.
        objectives: everything that is measured, constrained objectives included.
        traded: names of the objectives that span the front; all that are not constrained when empty.
        constraints: limits on measured objectives.
        predicted_losses: what the posteriors say, if there are any.
    """

    domain: Domain
    tasks: tuple[str, ...]
    objectives: tuple[Objective, ...]
    traded: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    predicted_losses: PredictedLosses | None = None

    @property
    def traded_columns(self) -> list[int]:
        """The numbers of the objectives that span the front."""
        limited = {constraint.objective for constraint in self.constraints}
        names = [objective.name for objective in self.objectives]
        wanted = self.traded or tuple(name for name in names if name not in limited) or tuple(names)
        return [names.index(name) for name in wanted]


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
