"""Bayesian MAP: quadratic surrogates with uncertain coefficients, and weightings chosen as scores come in.

After the idea of Li et al., 2024, MAP: Low-compute model merging with amortized Pareto fronts via quadratic
approximation (arXiv 2406.07529): the next weightings are sampled where the surrogate's posterior says they matter.
Here that is what they teach about the predicted front, in turn with its expected improvement under draws of the
coefficients (see `fronts.proposals`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from paretomerge.errors import DataError
from paretomerge.fronts.methods.base import Evaluate, FrontEstimate, FrontProblem
from paretomerge.fronts.methods.loop import OnBatch, Stopping, ignore, require_budget, search_in_batches
from paretomerge.fronts.search import check_search_available
from paretomerge.surrogates import Quadratic, fit_surrogate, initial_design


@dataclass(frozen=True)
class BayesianMap:
    """Settings of Bayesian MAP.

    Args:
        batch: points proposed, and evaluated, at a time.
        initial: points of the first batch: base, single tasks, the average, then evenly spread ones; two more than
            there are coordinates when not given.
        stop_gain: end when a batch is expected to add less than this share of the hypervolume; 0 for never.
        links: as in `Quadratic`.
    """

    batch: int = 5
    initial: int | None = None
    stop_gain: float = 0.0
    links: Literal["bounds", "identity"] = "bounds"

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.batch < 1 or (self.initial is not None and self.initial < 2):
            raise DataError(f"batch={self.batch}, initial={self.initial}: at least one point, and two to start from")
        Stopping(self.stop_gain)

    def search(
        self,
        problem: FrontProblem,
        evaluate: Evaluate,
        budget: int,
        seed: int = 0,
        on_batch: OnBatch = ignore,
    ) -> FrontEstimate:
        """Spend at most `budget` evaluations.

        Raises:
            DataError: a budget below two, or constraints that no predicted point respects.
            EvaluationError: not one of the first points could be scored.
            MissingExtraError: the domain needs NSGA-III and pymoo is missing; before anything is evaluated.
        """
        require_budget(budget, 2, ": a quadratic knows nothing by itself")
        check_search_available(problem.domain)
        surrogate = Quadratic(links=self.links, allow_underdetermined=True)
        size = self.initial or len(problem.domain.names) + 2
        return search_in_batches(
            problem,
            evaluate,
            budget,
            seed,
            on_batch,
            fit=partial(fit_surrogate, surrogate=surrogate, domain=problem.domain),
            start=initial_design(problem.domain, size, seed),
            batch=self.batch,
            stopping=Stopping(self.stop_gain),
        )
