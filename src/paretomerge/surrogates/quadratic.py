"""Quadratic surrogate (MAP: Li et al., 2024, arXiv 2406.07529), Bayesian, with a link, on the simplex or in a box.

    y_n(α) = g( Σ_i β_i α_i + Σ_{i<j} β_ij α_i α_j )          on the simplex: T(T+1)/2 coefficients
    y_n(c) = g( e + bᵀc + ½ cᵀA c )                           in a box: (D+1)(D+2)/2

On the simplex the constant and one linear term are redundant (Scheffé, 1958, Experiments with mixtures).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from paretomerge.surrogates.base import require_scores
from paretomerge.surrogates.convexity import feature_hessians, fit_convex, simplex_tangent
from paretomerge.surrogates.evidence import HyperPrior, choose_hyperparameters
from paretomerge.surrogates.fitted import FittedRegression
from paretomerge.surrogates.leave_one_out import poor_fit, predict_left_out, quality_of
from paretomerge.surrogates.links import Link, identity_link, link_of
from paretomerge.surrogates.polynomials import feature_pairs, quadratic_count, quadratic_features, quadratic_form
from paretomerge.surrogates.regression import Linearised, Regression, constrained_to
from paretomerge.types import Domain, Objective, Scores, Simplex


@dataclass(frozen=True)
class Quadratic:
    """Settings of the quadratic surrogate.

    Args:
        links: `"bounds"` takes the link that respects each objective's bounds, `"identity"` none.
        prior_scale: standard deviation of the coefficients, in units of the scores' own spread. Wide, so that it
            only matters where the design leaves a coefficient undetermined.
        allow_underdetermined: accept fewer scores than coefficients, and let the prior fill in.
        shape: `"convex"` keeps losses convex and scores concave, before the link and along the domain; then the
            front has a closed form. Directions in which a quadratic is flat because of that count as known.
    """

    links: Literal["bounds", "identity"] = "bounds"
    prior_scale: float = 10.0
    allow_underdetermined: bool = False
    shape: Literal["free", "convex"] = "free"

    def fit(self, scores: Scores, domain: Domain) -> FittedQuadratic:
        """One regression per objective.

        Raises:
            DataError: fewer scores than coefficients, unless that is allowed.
        """
        count = quadratic_count(domain)
        if not self.allow_underdetermined:
            what = f"a quadratic in {len(domain.names)} coordinates has {count} coefficients: it"
            require_scores(scores, count, what)
        features = quadratic_features(scores.weights, domain)
        regressions = [self._fitted(scores, index, features, domain) for index in range(len(scores.objectives))]
        return FittedQuadratic(
            self,
            scores,
            domain,
            partial(_repeated, domain=domain, count=len(regressions)),
            tuple(regressions),
            fit_warnings(scores, regressions, features),
        )

    def link(self, objective: Objective) -> Link:
        """As `links` says."""
        return link_of(objective) if self.links == "bounds" else identity_link()

    def _fitted(self, scores: Scores, index: int, features: np.ndarray, domain: Domain) -> Linearised:
        values, link = scores.values[:, index], self.link(scores.objectives[index])
        eta = link.inverse(values)
        level = float(eta.mean()) if len(eta) else 0.0
        size = features.shape[1]
        # On the simplex all weights together are the constant; in a box it is the first feature.
        mean = np.zeros(size)
        mean[: len(domain.names) if isinstance(domain, Simplex) else 1] = level
        stdev = np.full(size, self.prior_scale * max(float(np.std(eta)) if len(eta) else 0.0, 1e-3))
        regression = Regression(
            link,
            values,
            scores.own_variance[:, index],
            features,
            np.zeros((len(values), len(values))),
            mean,
            stdev,
            np.zeros(size, dtype=bool),
        )
        spread = spread_of(values)
        prior = HyperPrior((1.0, 0.0), (0.0, 0.0), (1.0, 0.0), (0.03 * spread, 2.0))
        free = choose_hyperparameters(regression, prior, 1e-7 * spread)
        if self.shape == "free" or not len(values):
            return free
        return made_convex(free, domain, scores.objectives[index].sign)


@dataclass(frozen=True, eq=False)
class FittedQuadratic(FittedRegression):
    """A fitted quadratic: everything that `FittedRegression` says, and the quadratic forms themselves."""

    def quadratics(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`A [M, D, D]`, `b [M, D]`, `e [M]` of `½ xᵀA x + bᵀx + e`, of the minimised objectives, before the link.

        A maximised objective is turned: its score is `g(-quadratic)`.
        """
        forms = [quadratic_form(one.beta, self.domain) for one in self.regressions]
        signs = np.array([objective.sign for objective in self.objectives])
        A, b, e = (np.stack(parts) for parts in zip(*forms, strict=True))
        return signs[:, None, None] * A, signs[:, None] * b, signs * e


def made_convex(free: Linearised, domain: Domain, sign: float) -> Linearised:
    """The fit under the constraint that `sign` times the quadratic is convex along the domain.

    What the constraint adds to the squared errors is misfit.
    """
    regression, chosen = free.regression, free.chosen
    tangent = simplex_tangent(len(domain.names)) if isinstance(domain, Simplex) else None
    hessians = feature_hessians(feature_pairs(domain), len(domain.names), tangent)
    found = fit_convex(
        regression.features,
        regression.values,
        regression.noise + chosen.misfit**2,
        regression.link,
        regression.prior_mean,
        regression.stdev(chosen) ** 2,
        hessians,
        sign,
        start=free.beta,
    )
    if not found.multiplier.any():
        return free
    # The barrier's Hessian at the solution: tr(Z dC C⁻¹ dC), squares of Z^½ dC C^-½.
    pushes, gives = _roots(found.multiplier), np.linalg.inv(np.linalg.cholesky(found.curvature)).T
    stiffness = (pushes.T @ hessians @ gives).reshape(len(hessians), -1).T
    worse = constrained_to(free, found.coefficients, stiffness)
    errors = [float(np.mean((regression.values - regression.link.value(one.eta)) ** 2)) for one in (worse, free)]
    misfit = (chosen.misfit**2 + max(errors[0] - errors[1], 0.0)) ** 0.5
    return constrained_to(replace(free, chosen=replace(chosen, misfit=misfit)), found.coefficients, stiffness)


def _roots(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def fit_warnings(scores: Scores, regressions: list[Linearised], features: np.ndarray) -> tuple[str, ...]:
    """Objectives whose coefficients the scores do not determine, or that are predicted worse than by their mean."""
    warnings = []
    count = len(scores)
    rank = int(np.linalg.matrix_rank(features)) if count else 0
    for objective, regression in zip(scores.objectives, regressions, strict=True):
        quality = quality_of(regression.regression.values, predict_left_out(regression))
        if rank < features.shape[1]:
            warnings.append(
                f"{objective.name}: {count} scores determine {rank} of {features.shape[1]} coefficients; "
                "the rest is the prior"
            )
        elif quality < 0:
            warnings.append(poor_fit(objective.name, count, quality))
    return tuple(warnings)


def spread_of(values: np.ndarray) -> float:
    """Standard deviation of scores, or something positive in their unit where there is none."""
    found = float(np.std(values)) if len(values) > 1 else 0.0
    level = float(np.abs(values).max(initial=0.0))
    return found if found > 1e-12 * level and found > 0 else max(1e-3 * level, 1e-3)


def _repeated(points: np.ndarray, domain: Domain, count: int) -> list[np.ndarray]:
    return [quadratic_features(points, domain)] * count
