"""Asynchronous search: a new point is proposed whenever a worker is free, instead of batch by batch.

Nobody waits for the slowest model of a batch. In exchange, what is proposed depends on the order in which scores come
in, so that two such searches need not be the same.
"""

from __future__ import annotations

import numpy as np

from paretomerge.errors import EvaluationError
from paretomerge.fronts.methods import FrontEstimate, FrontProblem, Informed
from paretomerge.stages.measure import MergedScorer
from paretomerge.stages.scoring import Progress, silent
from paretomerge.types import Scores


def search_asynchronously(
    method: Informed,
    problem: FrontProblem,
    scorer: MergedScorer,
    budget: int,
    seed: int = 0,
    progress: Progress = silent,
) -> FrontEstimate:
    """Spend the budget with as many models in flight as there are workers; the stopping rule is not asked.

    Raises:
        EvaluationError: nothing could be scored; and as `MergedScorer`.
        DataError, MissingExtraError: as `Informed.conclude`.
    """
    size = len(problem.domain.names)
    nothing = np.zeros((0, len(problem.objectives)))
    scores = Scores(problem.domain.names, np.zeros((0, size)), nothing, nothing, problem.objectives, ())
    pending: dict[int, np.ndarray] = {}
    failed: list[np.ndarray] = []
    for number in range(budget):
        while len(pending) >= scorer.size:
            scores = _collect(scorer, problem, scores, pending, failed)
        proposal = method.propose(
            problem,
            scores,
            1,
            seed,
            pending=np.array(list(pending.values())).reshape(-1, size),
            failed=np.array(failed).reshape(-1, size),
        )
        if not len(proposal.points):
            break
        pending[number] = proposal.points[0]
        scorer.start(proposal.points[0], problem.objectives, number)
        progress(f"{number + 1} of {budget} points asked for")
    while pending:
        scores = _collect(scorer, problem, scores, pending, failed)
    if budget and not len(scores):
        raise EvaluationError(f"none of {len(failed)} evaluations gave a score: repair the evaluator")
    return method.conclude(problem, scores, f"the budget of {budget} evaluations is spent", seed)


def _collect(
    scorer: MergedScorer,
    problem: FrontProblem,
    scores: Scores,
    pending: dict[int, np.ndarray],
    failed: list[np.ndarray],
) -> Scores:
    """Wait for one point."""
    done = scorer.finish(problem.objectives)
    assert done is not None, "a point is pending"
    number, found = done
    point = pending.pop(number)
    if found is None:
        failed.append(point)
        return scores
    return Scores.concatenate([scores, found])
