"""MAP: a design, one quadratic surrogate per objective, and a search over the surrogates.

Li et al., 2024, MAP: Low-compute model merging with amortized Pareto fronts via quadratic approximation (arXiv
2406.07529). Repaired in three places: the design determines every coefficient (one that only has the levels zero and
one leaves the curvature's diagonal open), the fit is a penalised Gauss-Newton through the link instead of least
squares from ones, and convexity can be asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from paretomerge.fronts.methods.base import Evaluate, FrontEstimate, FrontProblem
from paretomerge.fronts.methods.loop import Log, OnBatch, ignore, require_budget, require_scored
from paretomerge.fronts.search import check_search_available, search_front
from paretomerge.surrogates import Quadratic, fit_surrogate, initial_design
from paretomerge.types import Simplex


@dataclass(frozen=True)
class Map:
    """Settings of MAP.

    Args:
        links: as in `Quadratic`.
        shape: `"convex"` constrains every minimised quadratic to be convex, `"free"` does not.
        how: the search over the surrogates, as in `search_front`; the paper's is `"nsga3"`.
        allow_underdetermined: accept a budget below the number of coefficients, and let the prior fill in.
    """

    links: Literal["bounds", "identity"] = "bounds"
    shape: Literal["free", "convex"] = "free"
    how: Literal["auto", "dense", "closed_form", "nsga3"] = "nsga3"
    allow_underdetermined: bool = False

    def search(
        self,
        problem: FrontProblem,
        evaluate: Evaluate,
        budget: int,
        seed: int = 0,
        on_batch: OnBatch = ignore,
    ) -> FrontEstimate:
        """Evaluate a design of `budget` points, fit, search.

        Raises:
            DataError: fewer evaluations than coefficients, or constraints that no predicted point respects.
            MissingExtraError: the search needs pymoo and it is missing; before anything is evaluated.
        """
        needed = coefficients(problem)
        require_budget(
            budget,
            2 if self.allow_underdetermined else needed,
            f": a quadratic in {len(problem.domain.names)} coordinates has {needed} coefficients "
            "(allow_underdetermined lets the prior fill in)",
        )
        check_search_available(problem.domain, self.how)
        log = Log.of(problem)
        log.evaluate(evaluate, initial_design(problem.domain, budget, seed))
        require_scored(log)
        surrogate = fit_surrogate(
            log.scores,
            Quadratic(links=self.links, allow_underdetermined=self.allow_underdetermined, shape=self.shape),
            problem.domain,
        )
        front = search_front(
            surrogate, problem.traded_columns, problem.constraints, how=self.how, size=problem.points, seed=seed
        )
        stopped = f"the design of {log.asked} evaluations is complete"
        estimate = FrontEstimate(front, log.scores, surrogate, stopped, details=log.details())
        on_batch(estimate, log.asked)
        return estimate


def coefficients(problem: FrontProblem) -> int:
    """Of a quadratic over the problem's domain: `T(T+1)/2` on the simplex, `(D+1)(D+2)/2` in a box."""
    size = len(problem.domain.names)
    return size * (size + 1) // 2 if isinstance(problem.domain, Simplex) else (size + 1) * (size + 2) // 2
