"""One objective's discrepancy: a Gaussian process for every draw of the prior's settings.

Given the settings everything is linear algebra (Rasmussen & Williams, 2006, Gaussian processes for machine learning,
2.2); over the settings, posteriors are mixtures whose shares are those of the evidence.

Shapes: `N` known weightings, `K` queries, `S` draws of the settings, `R` draws of discrepancies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from paretomerge.surrogates.discrepancy_prior import DiscrepancySettings, Places
from paretomerge.surrogates.links import Link, arcsine_link, exponential_link, identity_link
from paretomerge.types import Objective, Scores

_JITTER = 1e-8
_LEADING = 0.999
"""Posteriors use the draws of the settings that hold this share of the evidence."""


@dataclass(frozen=True, eq=False)
class Member:
    """One objective's discrepancy.

    Attributes:
        link: of the scale.
        unit: what discrepancies are divided by, where the scale is not dimensionless by itself.
        column: of the objective's task; `None` if it is of no task.
        places: the `N` known weightings.
        residual: `[N]`, `h(truth) - h(preview)`.
        settings: the `S` draws.
        inverse: `[S, N, N]`, of the covariance of the residuals.
        log_determinant: `[S]`, of that covariance.
        shares: `[S]`, of the evidence of everything that shares the settings; they sum to one.
    """

    link: Link
    unit: float
    column: int | None
    places: Places
    residual: np.ndarray
    settings: DiscrepancySettings
    inverse: np.ndarray
    log_determinant: np.ndarray
    shares: np.ndarray

    @classmethod
    def of(
        cls, previews: Scores, truths: Scores, column: int, noise: np.ndarray, settings: DiscrepancySettings
    ) -> Member:
        """From what is known, and the covariance `[N, N]` of the differences that is due to finite examples."""
        objective = truths.objectives[column]
        link, unit = _scale(objective, np.concatenate([previews.values[:, column], truths.values[:, column]]))
        before, after = (link.inverse(scores.values[:, column]) / unit for scores in (previews, truths))
        # An error of a difference is one on the scale by the slope halfway, which is bounded where the scale is flat.
        steep = unit * link.slope(unit * (before + after) / 2)
        steep = np.maximum(steep, 0.05 * max(float(steep.max()), 1e-12))
        own = truths.tasks.index(objective.task) if objective.task in truths.tasks else None
        places = Places.of(truths.weights, own)
        covariance = settings.covariance(places, places) + noise / np.outer(steep, steep)
        diagonal = np.arange(len(truths))
        covariance[:, diagonal, diagonal] += settings.noise_variance(places) + _JITTER
        root = np.linalg.cholesky(covariance)
        determinant = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        even = np.full(len(settings), 1 / len(settings))
        return cls(link, unit, own, places, after - before, settings, np.linalg.inv(covariance), determinant, even)

    def to_scale(self, values: np.ndarray) -> np.ndarray:
        """`h`."""
        return self.link.inverse(values) / self.unit

    def from_scale(self, values: np.ndarray) -> np.ndarray:
        """The inverse of `h`."""
        return self.link.value(values * self.unit)

    def slope(self, values: np.ndarray) -> np.ndarray:
        """The derivative of that inverse."""
        return self.unit * self.link.slope(values * self.unit)

    @cached_property
    def log_evidence(self) -> np.ndarray:
        """`[S]`, up to a constant."""
        return -0.5 * (np.einsum("n,snm,m->s", self.residual, self.inverse, self.residual) + self.log_determinant)

    def supported(self, log_evidence: np.ndarray) -> Member:
        """With each draw's share of the evidence `[S]`."""
        share = np.exp(log_evidence - log_evidence.max())
        return replace(self, shares=share / share.sum())

    def posterior(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean `[K]` of the discrepancy, and variance `[K]` of a new training's, over all draws of the settings."""
        places, (rows, shares) = Places.of(weights, self.column), self.leading
        settings, inverse = self.settings.take(rows), self.inverse[rows]
        across = settings.covariance(places, self.places)
        means = (across @ (inverse @ self.residual)[..., None])[..., 0]
        explained = ((across @ inverse) * across).sum(axis=2)
        known = np.maximum(settings.variance(places) - explained, 0.0)
        return mixed(shares[:, None], means, known + settings.noise_variance(places))

    def joint(self, weights: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means `[S', K]` and covariances `[S', K, K]` of the discrepancy for some draws, without trainings' noise."""
        places, settings, inverse = Places.of(weights, self.column), self.settings.take(rows), self.inverse[rows]
        across = settings.covariance(places, self.places)
        means = across @ (inverse @ self.residual)[..., None]
        return means[..., 0], settings.covariance(places, places) - across @ inverse @ across.transpose(0, 2, 1)

    def sample(self, weights: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
        """`[R, K]` draws of new trainings' discrepancies, joint over weightings."""
        places, (rows, shares) = Places.of(weights, self.column), self.leading
        picked = generator.choice(rows, size=draws, p=shares)
        found = np.empty((draws, len(weights)))
        for row in np.unique(picked):
            drawn = np.flatnonzero(picked == row)
            [mean], [covariance] = self.joint(weights, np.array([row]))
            values, vectors = np.linalg.eigh(covariance)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            noise = np.sqrt(self.settings.take(np.array([row])).noise_variance(places))
            smooth, own = generator.standard_normal((2, len(drawn), len(weights)))
            found[drawn] = mean + smooth @ root.T + own * noise
        return found

    @cached_property
    def leading(self) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the draws that hold nearly all of the evidence, best first, and their shares of it."""
        order = np.argsort(-self.shares, kind="stable")
        kept = order[: 1 + int(np.searchsorted(np.cumsum(self.shares[order]), _LEADING))]
        return kept, self.shares[kept] / self.shares[kept].sum()


def mixed(shares: np.ndarray, means: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance `[K]` of a mixture of normal distributions `[S, K]`."""
    mean = (shares * means).sum(axis=0)
    return mean, (shares * (variances + (means - mean) ** 2)).sum(axis=0)


def _scale(objective: Objective, values: np.ndarray) -> tuple[Link, float]:
    """The link whose η are compared, and their unit."""
    low, high = objective.bounds
    if low is not None and high is not None:
        return arcsine_link(low, high), 1.0
    if low is not None:
        return exponential_link(low), 1.0
    spread = float(np.std(values))
    return identity_link(), spread if spread > 0 else max(float(np.abs(values).max()), 1.0)
