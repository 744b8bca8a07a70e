"""The default method: posteriors predict the front before anything is evaluated, scores correct it where it matters.

The surrogate is posterior-informed: what the posteriors predict, recalibrated, with a quadratic and a Gaussian process
for what they get wrong. Points are proposed in turn for what they teach about the predicted front and for how much
they are expected to improve it: noisy expected hypervolume improvement up to four traded objectives, random augmented
Chebyshev scalarisations above (see `fronts.proposals`). Without posteriors the same surrogate starts from nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from paretomerge.errors import DataError
from paretomerge.fronts.methods.base import Evaluate, FrontEstimate, FrontProblem
from paretomerge.fronts.methods.loop import OnBatch, Stopping, ignore, require_budget, search_in_batches, seed_of
from paretomerge.fronts.proposals import Proposal, propose
from paretomerge.fronts.search import check_search_available, search_front
from paretomerge.surrogates import Fitted, PosteriorInformed, Quadratics, initial_design
from paretomerge.types import Scores


@dataclass(frozen=True)
class Informed:
    """Settings of the informed search.

    Args:
        batch: points proposed, and evaluated, at a time.
        initial: points of the first batch, the start of `initial_design`; two more than the domain has degrees of
            freedom (so that all single tasks and their average are among them), and at most ten, when not given.
        stop_gain: end when a batch is expected to add less than this share of the hypervolume; 0 for never.
        patience: that many such batches in a row.
    """

    batch: int = 5
    initial: int | None = None
    stop_gain: float = 0.002
    patience: int = 2

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.batch < 1 or (self.initial is not None and self.initial < 1):
            raise DataError(f"batch={self.batch}, initial={self.initial}: both are numbers of points >= 1")
        Stopping(self.stop_gain, self.patience)

    def search(
        self,
        problem: FrontProblem,
        evaluate: Evaluate,
        budget: int,
        seed: int = 0,
        on_batch: OnBatch = ignore,
    ) -> FrontEstimate:
        """Spend at most `budget` evaluations; with none, the front is what the posteriors predict.

        Raises:
            DataError: a budget of zero without predicted losses, or constraints that no predicted point respects.
            EvaluationError: not one of the first points could be scored.
            MissingExtraError: the domain needs NSGA-III and pymoo is missing; before anything is evaluated.
        """
        require_budget(budget, 0)
        if problem.predicted_losses is None:
            require_budget(budget, 1, ": nothing is known without posteriors (predicted losses)")
        if budget or not isinstance(problem.predicted_losses, Quadratics):  # whose front is known in closed form
            check_search_available(problem.domain)
        return search_in_batches(
            problem,
            evaluate,
            budget,
            seed,
            on_batch,
            fit=partial(fit_informed, problem=problem),
            start=self._start(problem, seed),
            batch=self.batch,
            stopping=Stopping(self.stop_gain, self.patience),
        )

    def propose(
        self,
        problem: FrontProblem,
        scores: Scores,
        count: int = 1,
        seed: int = 0,
        *,
        pending: np.ndarray | None = None,
        failed: np.ndarray | None = None,
    ) -> Proposal:
        """The next points, for searches that ask for new ones whenever a worker is free (asynchronously).

        While the first batch is not complete, its next points (their gain is NaN). What is proposed depends on the
        order in which scores come in, so such a search is not reproducible in general.

        Args:
            problem: what is traded off, and where.
            scores: those that came in.
            count: how many points.
            seed: of everything random.
            pending: `[P, D]`, points that are being evaluated.
            failed: `[A, D]`, points that are not to be asked again.
        """
        waiting, lost = _rows(pending, problem), _rows(failed, problem)
        asked = len(scores) + len(waiting) + len(lost)
        start = self._start(problem, seed)
        if asked < len(start):
            return Proposal(start[asked : asked + count], float("nan"))
        surrogate = fit_informed(scores, problem)
        return propose(surrogate, problem, count, seed_of(seed, asked), waiting, avoid=lost)

    def conclude(self, problem: FrontProblem, scores: Scores, stopped: str, seed: int = 0) -> FrontEstimate:
        """The front that follows from scores, however they came in.

        Raises:
            DataError: constraints that no predicted point respects.
            MissingExtraError: the domain needs NSGA-III and pymoo is missing.
        """
        surrogate = fit_informed(scores, problem)
        front = search_front(surrogate, problem.traded_columns, problem.constraints, size=problem.points, seed=seed)
        return FrontEstimate(front, scores, surrogate, stopped)

    def _start(self, problem: FrontProblem, seed: int) -> np.ndarray:
        size = self.initial or min(problem.domain.cube_dimension + 2, 10)
        return initial_design(problem.domain, size, seed)


def _rows(points: np.ndarray | None, problem: FrontProblem) -> np.ndarray:
    return np.zeros((0, len(problem.domain.names))) if points is None else np.asarray(points, dtype=np.float64)


def fit_informed(scores: Scores, problem: FrontProblem) -> Fitted:
    """The posterior-informed surrogate, unless one without posteriors predicts left-out scores better.

    Compared is the mean leave-one-out R² over the objectives. With fewer than two scores per coordinate it is chance,
    and posteriors are trusted.
    """
    blank = PosteriorInformed(_no_losses, ())
    if problem.predicted_losses is None:
        return blank.fit(scores, problem.domain)
    informed = PosteriorInformed(problem.predicted_losses, problem.tasks).fit(scores, problem.domain)
    if len(scores) < 2 * (problem.domain.cube_dimension + 1):
        return informed
    uninformed = blank.fit(scores, problem.domain)
    with_them, without = (float(np.mean(fitted.fit_quality)) for fitted in (informed, uninformed))
    if not without > with_them:
        return informed
    note = (
        f"the posteriors' predictions were dropped: without them left-out scores are predicted better (leave-one-out "
        f"R² {without:.3f} against {with_them:.3f})"
    )
    return replace(uninformed, warnings=(*uninformed.warnings, note))


def _no_losses(points: np.ndarray) -> np.ndarray:
    return np.zeros((len(points), 0))
