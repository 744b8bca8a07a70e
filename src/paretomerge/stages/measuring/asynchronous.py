"""Asynchronous search: a new point is proposed whenever a worker is free, instead of batch by batch.

Nobody waits for the slowest model of a batch. In exchange, what is proposed depends on the order in which scores come
in, so that two such searches need not be the same.
"""

from __future__ import annotations

import numpy as np

from paretomerge.fronts.methods import FrontEstimate, FrontProblem, Informed
from paretomerge.fronts.methods.loop import Log, require_scored
from paretomerge.stages.measuring.merged import MergedScorer
from paretomerge.stages.scoring.models import Progress, silent


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
    log = Log.of(problem)
    pending: dict[int, np.ndarray] = {}
    for number in range(budget):
        while len(pending) >= scorer.size:
            _collect(scorer, log, pending)
        waiting = np.array(list(pending.values())).reshape(-1, len(problem.domain.names))
        proposal = method.propose(problem, log.scores, 1, seed, pending=waiting, failed=log.failures)
        if not len(proposal.points):
            break
        pending[number] = proposal.points[0]
        scorer.start(proposal.points[0], problem.objectives, number)
        progress(f"{number + 1} of {budget} points asked for")
    while pending:
        _collect(scorer, log, pending)
    require_scored(log)
    return method.conclude(problem, log.scores, f"the budget of {budget} evaluations is spent", seed)


def _collect(scorer: MergedScorer, log: Log, pending: dict[int, np.ndarray]) -> None:
    """Wait for one point."""
    done = scorer.finish(log.problem.objectives)
    assert done is not None, "a point is pending"
    number, found = done
    log.take(pending.pop(number), found)
