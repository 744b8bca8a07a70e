"""Fit, look around, propose, evaluate, again: the loop of every method that chooses its points as scores come in.

Everything that decides which points are asked follows from the seed and from the scores so far, never from the
budget: a search with a larger budget first asks for the same points.

Shapes: `N` scores, `D` coordinates of the domain, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from paretomerge.errors import DataError, EvaluationError
from paretomerge.fronts.methods.base import Evaluate, FrontEstimate, FrontProblem
from paretomerge.fronts.proposals import Outlook, Proposal, look_around, propose_from
from paretomerge.fronts.search import front_of_predictions, search_front
from paretomerge.surrogates import Fitted
from paretomerge.types import Front, Scores

OnBatch = Callable[[FrontEstimate | None, int], None]


@dataclass(frozen=True)
class Stopping:
    """When a search ends before its budget is spent.

    Args:
        gain: a further batch that is expected to gain less than this share of the hypervolume counts as useless.
        patience: so many useless batches in a row end the search; all but the last are still evaluated.
    """

    gain: float
    patience: int = 2

    def __post_init__(self) -> None:
        """Check both."""
        if not 0 <= self.gain < 1:
            raise DataError(
                f"stop_gain is {self.gain}, expected a share of the hypervolume (0.002 is 0.2 %), 0 for never"
            )
        if self.patience < 1:
            raise DataError(f"patience is {self.patience}, expected a number of batches >= 1")


def ignore(estimate: FrontEstimate | None, evaluated: int) -> None:
    """What is called after each batch when nobody listens."""


@dataclass
class Log:
    """What a search asked, and got: the scores so far and the points that failed."""

    problem: FrontProblem
    scores: Scores
    failed: list[np.ndarray] = field(default_factory=list)
    asked: int = 0

    @classmethod
    def of(cls, problem: FrontProblem) -> Log:
        """Before anything is asked."""
        names, objectives = problem.domain.names, problem.objectives
        shape = (0, len(objectives))
        return cls(problem, Scores(names, np.zeros((0, len(names))), np.zeros(shape), np.zeros(shape), objectives, ()))

    def evaluate(self, evaluate: Evaluate, points: np.ndarray) -> None:
        """Ask for points `[B, D]`; those that are missing from the answer have failed.

        Raises:
            EvaluationError: scores of other objectives, or of points that nobody asked for.
        """
        if not len(points):
            return
        found = evaluate(points, self.problem.objectives)
        names = [objective.name for objective in self.problem.objectives]
        if [objective.name for objective in found.objectives] != names or len(found) > len(points):
            raise EvaluationError(
                f"asked for {', '.join(names)} of {len(points)} points, got {len(found)} scores of "
                f"{', '.join(o.name for o in found.objectives)}: it returns one row per point, with all objectives"
            )
        distance = np.abs(points[:, None] - found.weights[None]).max(axis=2)
        if len(found) and distance.min(axis=0).max() > 1e-6:
            raise EvaluationError("the evaluator returned scores of points that were not asked for")
        missing = distance.min(axis=1, initial=np.inf) > 1e-6
        self.failed += list(points[missing])
        self.asked += len(points)
        self.scores = Scores.concatenate([self.scores, found])

    def take(self, point: np.ndarray, found: Scores | None) -> None:
        """What became of one point `[D]` that was asked for elsewhere: its scores, or `None` if it failed."""
        self.asked += 1
        if found is None:
            self.failed.append(point)
        else:
            self.scores = Scores.concatenate([self.scores, found])

    @property
    def failures(self) -> np.ndarray:
        """`[A, D]`, the points that failed."""
        return np.array(self.failed).reshape(-1, self.scores.weights.shape[1])

    def details(self) -> dict[str, object]:
        """For the journal."""
        return {"asked": self.asked, "failed": self.failures.tolist()}


def search_in_batches(
    problem: FrontProblem,
    evaluate: Evaluate,
    budget: int,
    seed: int,
    on_batch: OnBatch,
    *,
    fit: Callable[[Scores], Fitted],
    start: np.ndarray,
    batch: int,
    stopping: Stopping,
) -> FrontEstimate:
    """Evaluate the start, then batches of proposals, until the budget or the stopping rule ends it.

    Args:
        problem: what is traded off, and where.
        evaluate: scores models; points that are missing from its answer count as spent and are not asked again.
        budget: evaluations, failed ones included.
        seed: of everything random.
        on_batch: is given the front predicted so far; a quick one, the last is searched for thoroughly.
        fit: scores to a fitted surrogate.
        start: `[I, D]`, evaluated first.
        batch: points per proposal.
        stopping: when to end early.

    Raises:
        EvaluationError: not one of the first points could be scored.
    """
    log = Log.of(problem)
    log.evaluate(evaluate, start[:budget])
    require_scored(log)
    gains: list[float] = []
    while True:
        surrogate = fit(log.scores)
        step = seed_of(seed, log.asked)
        outlook, proposal = _next(surrogate, problem, log, batch, step)
        gains.append(proposal.gain)
        stopped = _reason(log, budget, gains, proposal, stopping)
        if stopped:
            break
        if log.asked:
            on_batch(_quick_estimate(surrogate, problem, outlook, log, proposal.gain), log.asked)
        log.evaluate(evaluate, proposal.points[: budget - log.asked])
        require_scored(log)
    front = search_front(surrogate, problem.traded_columns, problem.constraints, size=problem.points, seed=seed)
    estimate = FrontEstimate(
        front, log.scores, surrogate, stopped, gains[-1], {**log.details(), "gains": gains, "batch": batch}
    )
    on_batch(estimate, log.asked)
    return estimate


def require_budget(budget: int, least: int, why: str = "") -> None:
    """Raise `DataError` for a budget that a method cannot work with."""
    if budget < least:
        raise DataError(f"a budget of {budget} evaluations is too small, at least {least} are needed{why}")


def require_scored(log: Log) -> None:
    """Raise `EvaluationError` if points were asked for and none was scored."""
    if log.asked and not len(log.scores):
        raise EvaluationError(
            f"none of the first {log.asked} evaluations gave a score: repair the evaluator; nothing is known about the "
            "front yet"
        )


def _next(surrogate: Fitted, problem: FrontProblem, log: Log, count: int, seed: int) -> tuple[Outlook, Proposal]:
    outlook = look_around(surrogate, problem.traded_columns, problem.constraints, avoid=log.failures, seed=seed)
    return outlook, propose_from(outlook, surrogate, problem, count, seed)


def _reason(log: Log, budget: int, gains: list[float], proposal: Proposal, stopping: Stopping) -> str:
    """Why the search ends here; empty when it goes on."""
    if log.asked >= budget:
        return f"the budget of {budget} evaluations is spent"
    recent = gains[-stopping.patience :]
    if len(recent) == stopping.patience and max(recent) < stopping.gain:
        return (
            f"another {len(proposal.points)} evaluations are expected to add {100 * gains[-1]:.2g} % of hypervolume, "
            f"less than {100 * stopping.gain:g} %"
        )
    return "" if len(proposal.points) else "every point of the domain that differs from those evaluated was asked for"


def _quick_estimate(
    surrogate: Fitted, problem: FrontProblem, outlook: Outlook, log: Log, gain: float
) -> FrontEstimate | None:
    front = quick_front(problem, outlook, log.scores)
    return None if front is None else FrontEstimate(front, log.scores, surrogate, "", gain, log.details())


def quick_front(problem: FrontProblem, outlook: Outlook, scores: Scores) -> Front | None:
    """The front of the points that were predicted on the way; `None` where none of them is feasible."""
    try:
        return front_of_predictions(
            outlook.predicted, scores, problem.traded_columns, problem.constraints, size=problem.points
        )
    except DataError:
        return None


def seed_of(seed: int, asked: int) -> int:
    """Another seed for every number of points asked so far."""
    return int(np.random.SeedSequence([seed, asked]).generate_state(1)[0])
