"""A surrogate for which everything is known exactly: Bayesian linear regression with a given prior and noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from paretomerge.types import Box, Objective, Origin, Scores

PRIOR = 1.0


def features(points: Any) -> np.ndarray:
    """`[K, F]`: a constant, the coordinates and their squares."""
    x = np.asarray(points, dtype=np.float64)
    return np.concatenate([np.ones((len(x), 1)), x, x**2], axis=1)


@dataclass(frozen=True, eq=False)
class ExactGaussian:
    """`y = φ(x)ᵀβ + noise`, `β ~ N(0, I)`, the noise that of the scores' own variance; implements `Fitted`."""

    scores: Scores
    domain: Box

    @property
    def tasks(self) -> tuple[str, ...]:
        return self.domain.names

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return self.scores.objectives

    @property
    def fit_quality(self) -> np.ndarray:
        return np.full(len(self.objectives), np.nan)

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    def posterior(self, objective: int) -> tuple[np.ndarray, np.ndarray]:
        """Gain `[F, N]` and covariance `[F, F]` of the coefficients."""
        design = features(self.scores.weights)
        precision = 1.0 / np.maximum(self.scores.own_variance[:, objective], 1e-12)
        covariance = np.linalg.inv(np.eye(design.shape[1]) / PRIOR + (design.T * precision) @ design)
        return covariance @ (design.T * precision), covariance

    def predict(self, points: Any) -> tuple[np.ndarray, np.ndarray]:
        rows = features(points)
        mean, stdev = [], []
        for m in range(len(self.objectives)):
            gain, covariance = self.posterior(m)
            mean.append(rows @ gain @ self.scores.values[:, m])
            stdev.append(np.sqrt(np.einsum("kf,fg,kg->k", rows, covariance, rows)))
        return np.stack(mean, axis=1), np.stack(stdev, axis=1)

    def sample(self, points: Any, draws: int, generator: np.random.Generator) -> np.ndarray:
        rows = features(points)
        found = []
        for m in range(len(self.objectives)):
            gain, covariance = self.posterior(m)
            root = np.linalg.cholesky(covariance)
            noise = generator.standard_normal((draws, len(root))) @ root.T
            found.append((gain @ self.scores.values[:, m] + noise) @ rows.T)
        return np.stack(found, axis=-1)

    def response(self, points: Any) -> np.ndarray:
        rows = features(points)
        return np.stack([rows @ self.posterior(m)[0] for m in range(len(self.objectives))])

    def extrapolates(self, points: Any) -> np.ndarray:
        return np.zeros(len(np.asarray(points)), dtype=bool)


@dataclass(frozen=True, eq=False)
class World:
    """A draw of the truth from the prior, and scores of it with errors that models share and errors of their own."""

    truth: np.ndarray
    surrogate: ExactGaussian

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        objectives: tuple[Objective, ...],
        scores: int = 8,
        own: float = 0.1,
        shared: float = 0.3,
        coordinates: int = 2,
    ) -> World:
        domain = Box(tuple(f"x{i}" for i in range(coordinates)))
        points = rng.random((scores, coordinates))
        count, size = len(objectives), 1 + 2 * coordinates
        truth = rng.standard_normal((count, size))
        # Errors that vary smoothly over the domain, as those of shared examples do.
        distance = ((points[:, None] - points) ** 2).sum(axis=2)
        covariance = shared**2 * np.exp(-distance / 2)
        errors = rng.multivariate_normal(np.zeros(scores), covariance, size=count, method="eigh").T
        values = features(points) @ truth.T + errors + own * rng.standard_normal((scores, count))
        stderr = np.full((scores, count), np.hypot(own, shared))
        origin: Origin = "merged"
        repeated = np.repeat(covariance[None], count, axis=0)
        measured = Scores(domain.names, points, values, stderr, objectives, (origin,) * scores, repeated)
        return cls(truth, ExactGaussian(measured, domain))

    def values(self, points: np.ndarray) -> np.ndarray:
        """The true scores `[K, M]`."""
        return features(points) @ self.truth.T
