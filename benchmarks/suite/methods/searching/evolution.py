"""NSGA-II on real evaluations: every individual is a merge that is scored, as evolutionary merging does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from paretomerge.fronts.methods import Evaluate, FrontEstimate, FrontProblem
from paretomerge.fronts.methods.loop import Log, OnBatch, ignore, require_budget, require_scored
from paretomerge.fronts.search import front_of_predictions
from paretomerge.surrogates import initial_design
from paretomerge.types import Scores, to_minimised


@dataclass(frozen=True)
class EvolvedModels:
    """NSGA-II (Deb et al., 2002, A fast and elitist multiobjective genetic algorithm) by pymoo, its own operators.

    The first generation is the design that the other searches start with: base, finetunes, average, Sobol points.
    Recommended is what was measured to be non-dominated, in all generations.

    Args:
        population: of each generation.
    """

    population: int = 10

    def search(
        self,
        problem: FrontProblem,
        evaluate: Evaluate,
        budget: int,
        seed: int = 0,
        on_batch: OnBatch = ignore,
    ) -> FrontEstimate:
        """As in `FrontMethod`; the last generation is cut where the budget ends.

        Raises:
            DataError: a budget below one generation.
        """
        require_budget(budget, self.population, ": a generation")
        log, algorithm = Log.of(problem), self._algorithm(problem, seed)
        while log.asked < budget:
            infills = algorithm.ask()
            points = problem.domain.nearest(np.asarray(infills.get("X"), dtype=np.float64))[: budget - log.asked]
            before = len(log.scores)
            log.evaluate(evaluate, points)
            require_scored(log)
            tell(algorithm, problem, log.scores.take(range(before, len(log.scores))))
        none = log.scores.take([])
        front = front_of_predictions(log.scores, none, problem.traded_columns, size=problem.points)
        return FrontEstimate(front, log.scores, None, f"the budget of {budget} evaluations is spent")

    def _algorithm(self, problem: FrontProblem, seed: int) -> Any:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.problem import Problem

        lower, upper = problem.domain.corners  # type: ignore[attr-defined]
        described = Problem(n_var=len(lower), n_obj=len(problem.traded_columns), xl=lower, xu=upper)
        start = initial_design(problem.domain, self.population, seed)
        algorithm = NSGA2(pop_size=self.population, sampling=start)
        return algorithm.setup(described, termination=("n_gen", np.inf), seed=seed)


def tell(algorithm: Any, problem: FrontProblem, scores: Scores) -> None:
    """Hand measured individuals to pymoo; those that could not be scored never were."""
    from pymoo.core.evaluator import Evaluator
    from pymoo.core.population import Population
    from pymoo.problems.static import StaticProblem

    columns = problem.traded_columns
    infills = Population.new("X", scores.weights)
    values = to_minimised(scores.values, scores.objectives)[:, columns]
    Evaluator().eval(StaticProblem(algorithm.problem, F=values), infills)
    algorithm.tell(infills=infills)
