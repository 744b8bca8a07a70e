"""MAP as published: random scaling coefficients, least squares, one quadratic per metric, NSGA-III.

Li et al., 2024, MAP: Low-compute model merging with amortized Pareto fronts via quadratic approximation (arXiv
2406.07529). For merges `θ(c) = θ_0 + Σ_t c_t (θ_t - θ_0)`, every metric is taken to be

    M_n(θ(c)) ≈ g_n( e_n + b_nᵀc + ½ cᵀA_n c ),      A_n symmetric:  (T+1)(T+2)/2 coefficients,

with `g` the sigmoid between the bounds of a metric that has two of them, the softplus above the bound of one that has
one (losses), and the identity otherwise. `c` is drawn uniformly from the box, the coefficients are

    argmin Σ_c ( M_n(θ(c)) - g_n(...) )²

and NSGA-III (Deb & Jain, 2014) searches the fitted quadratics for the front, which costs no evaluation.

What differs from our `Map` ("MAP repaired"): ours measures a design (base, finetunes, average, Sobol points) instead of
random points; weighs scores by their noise and adds a prior, so that noise is not fitted and coefficients that the
points leave open stay small; and knows how uncertain its predictions are. The published code departs from these
formulas in places and cannot be run (a search box wider than its samples, a fit started from ones): here the fit
starts from the linear least squares of `g^-1(M)`, and the search stays in the sampled box, both to its advantage. The
search is ours too: it starts from 1024 Sobol points, the finetunes and the measured points, and keeps everything that
it ever predicted.

Shapes: `N` points, `T` coordinates, `F` coefficients, `M` metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from paretomerge.fronts.methods import Evaluate, FrontEstimate, FrontProblem
from paretomerge.fronts.methods.loop import Log, OnBatch, ignore, require_budget, require_scored
from paretomerge.fronts.search import search_front
from paretomerge.surrogates.links import Link, identity_link, link_of
from paretomerge.types import Domain, Objective, Scores


@dataclass(frozen=True)
class PublishedMap:
    """MAP by the paper's formulas.

    Args:
        linked: whether bounded metrics have a link; `False` fits all of them by linear least squares.
    """

    linked: bool = True

    def search(
        self,
        problem: FrontProblem,
        evaluate: Evaluate,
        budget: int,
        seed: int = 0,
        on_batch: OnBatch = ignore,
    ) -> FrontEstimate:
        """As in `FrontMethod`; the estimate has no surrogate that knows its own uncertainty.

        Raises:
            DataError: fewer evaluations than coefficients.
        """
        size = len(problem.domain.names)
        needed = (size + 1) * (size + 2) // 2
        require_budget(budget, needed, f": a quadratic in {size} coefficients has {needed} of its own")
        log = Log.of(problem)
        cube = np.random.default_rng(seed).random((budget, problem.domain.cube_dimension))
        log.evaluate(evaluate, problem.domain.from_cube(cube))
        require_scored(log)
        fitted = LeastSquares.of(log.scores, problem.domain, self.linked)
        columns = problem.traded_columns
        front = search_front(fitted, columns, how="nsga3", size=problem.points, seed=seed)  # type: ignore[arg-type]
        details: dict[str, object] = {"r2": fitted.r2.tolist()}
        return FrontEstimate(front, log.scores, None, f"{log.asked} random points are measured", details=details)


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """Fitted quadratics; what a search over a surrogate asks of one.

    Attributes:
        scores: what they were fitted to.
        domain: where they predict.
        links: `[M]`.
        coefficients: `[M, F]`.
    """

    scores: Scores
    domain: Domain
    links: tuple[Link, ...]
    coefficients: np.ndarray

    @classmethod
    def of(cls, scores: Scores, domain: Domain, linked: bool = True) -> LeastSquares:
        """The least squares of every objective's scores."""
        features = quadratic_features(scores.weights)
        links = tuple(link_of(objective) if linked else identity_link() for objective in scores.objectives)
        found = [fitted(features, column, link) for column, link in zip(scores.values.T, links, strict=True)]
        return cls(scores, domain, links, np.stack(found))

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the coordinates."""
        return self.domain.names

    @property
    def objectives(self) -> Sequence[Objective]:
        """The order of the columns of every prediction."""
        return self.scores.objectives

    @property
    def r2(self) -> np.ndarray:
        """`[M]` on the points of the fit, which says nothing where there are as many coefficients as points."""
        left = self.scores.values - self.predict(self.scores.weights)[0]
        return 1 - left.var(axis=0) / np.maximum(self.scores.values.var(axis=0), 1e-300)

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predictions `[K, M]`, and zeros: nothing is said of their uncertainty."""
        features = quadratic_features(points)
        pairs = zip(self.coefficients, self.links, strict=True)
        values = np.stack([link.value(features @ row) for row, link in pairs], axis=1)
        return values, np.zeros_like(values)


def fitted(features: np.ndarray, values: np.ndarray, link: Link) -> np.ndarray:
    """`argmin_β Σ (y - g(φᵀβ))²`, `[F]`: linear where the link is the identity, else by Gauss-Newton steps."""
    start = np.linalg.lstsq(features, link.inverse(values), rcond=None)[0]
    if link.name == "identity":
        return start
    return least_squares(
        lambda beta: link.value(features @ beta) - values,
        start,
        jac=lambda beta: link.slope(features @ beta)[:, None] * features,
        method="trf",
    ).x


def quadratic_features(points: np.ndarray) -> np.ndarray:
    """`[N, F]`: one, the coordinates, and all products of two of them.

    >>> quadratic_features(np.array([[2.0, 3.0]])).tolist()
    [[1.0, 2.0, 3.0, 4.0, 6.0, 9.0]]
    """
    rows, columns = np.triu_indices(points.shape[1])
    return np.concatenate([np.ones((len(points), 1)), points, points[:, rows] * points[:, columns]], axis=1)
