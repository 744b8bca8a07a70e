"""A fitted surrogate: one regression per objective, over features that all objectives are predicted with.

Shapes: `N` scores, `K` queries, `D` coordinates, `M` objectives, `F` features, `S` draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from paretomerge.surrogates.base import Surrogate, require_drawable
from paretomerge.surrogates.leave_one_out import predict_left_out, quality_of
from paretomerge.surrogates.links import Link
from paretomerge.surrogates.prediction import (
    Latent,
    joint_covariance,
    latent_response,
    predict_latent,
    through_link,
)
from paretomerge.surrogates.regression import Linearised
from paretomerge.surrogates.residual import distances, unit_coordinates
from paretomerge.types import Domain, Objective, Origin, Scores


@dataclass(frozen=True, eq=False)
class FittedRegression:
    """A surrogate fitted to scores; implements `Fitted`.

    Attributes:
        surrogate: the settings it was fitted with.
        scores: what it was fitted to.
        domain: where it predicts.
        features: points `[K, D]` → features `[K, F]` of every objective, in order; called once per query.
        regressions: the fitted regression of every objective.
        warnings: what to know before trusting it.
    """

    surrogate: Surrogate
    scores: Scores
    domain: Domain
    features: Callable[[np.ndarray], Sequence[np.ndarray]]
    regressions: tuple[Linearised, ...]
    warnings: tuple[str, ...] = field(default=())

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the domain's coordinates."""
        return self.domain.names

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The order of the columns of every prediction."""
        return self.scores.objectives

    @cached_property
    def fit_quality(self) -> np.ndarray:
        """Leave-one-out R² of each objective `[M]`; NaN with fewer than three scores, or when they do not vary."""
        values = self.scores.values.T
        found = [quality_of(y, predict_left_out(one)) for y, one in zip(values, self.regressions, strict=True)]
        return np.array(found)

    def predict(self, points: Any) -> tuple[np.ndarray, np.ndarray]:
        """Prediction and its root mean square error `[K, M]` for the noise-free score at points `[K, D]`.

        Through a link the prediction is the median `g(E η)`, not the mean `E g(η)`: that one is drawn to the middle of
        the range where η is uncertain, and few scores would lose the order of points that posteriors know. The error
        is that of the Gaussian posterior of η, and the misfit: what the surrogate cannot express.
        """
        pairs = []
        for one, latent in self._latents(self.domain.checked(points)):
            centre = one.regression.link.value(latent.mean)
            mean, variance, _ = through_link(one.regression.link, latent.mean, np.sqrt(latent.variance))
            pairs.append((centre, np.sqrt(variance + (mean - centre) ** 2 + one.chosen.misfit**2)))
        return np.stack([centre for centre, _ in pairs], axis=1), np.stack([stdev for _, stdev in pairs], axis=1)

    def predict_scores(self, points: Any) -> Scores:
        """The prediction as `Scores` of origin `"predicted"`."""
        checked = self.domain.checked(points)
        mean, stdev = self.predict(checked)
        origin: Origin = "predicted"
        return Scores(self.tasks, checked, mean, stdev, self.objectives, (origin,) * len(checked))

    def sample(self, points: Any, draws: int, generator: np.random.Generator) -> np.ndarray:
        """`[S, K, M]` draws of the noise-free scores, joint over points; the objectives are independent.

        The misfit is one level per draw and objective, the same at all points: it is nothing that a search could
        find by asking at another point. Draws respect the objectives' bounds.

        Raises:
            DataError: more points than can be drawn jointly.
        """
        checked = self.domain.checked(points)
        require_drawable(len(checked))
        places = unit_coordinates(checked, self.domain)
        between = distances(places, places)
        found = []
        for (one, latent), objective in zip(self._latents(checked), self.objectives, strict=True):
            root = _root(joint_covariance(one, latent, between))
            noise = generator.standard_normal((draws, root.shape[1])) @ root.T
            level = one.chosen.misfit * generator.standard_normal((draws, 1))
            low, high = objective.bounds
            found.append(np.clip(one.regression.link.value(latent.mean + noise) + level, low, high))
        return np.stack(found, axis=2)

    def response(self, points: Any) -> np.ndarray:
        """`[M, K, N]`: the derivative of the predictions with respect to the scores, hyperparameters held fixed."""
        found = []
        for one, latent in self._latents(self.domain.checked(points)):
            found.append(one.regression.link.slope(latent.mean)[:, None] * latent_response(one, latent))
        return np.stack(found)

    def extrapolates(self, points: Any) -> np.ndarray:
        """`[K]` booleans: whether some objective's standard deviation exceeds half that of its scores.

        There the scores say little more than their own mean does. Without at least two scores that differ, every
        point is one.
        """
        stdev = self.predict(points)[1]
        spread = np.std(self.scores.values, axis=0) if len(self.scores) > 1 else np.zeros(stdev.shape[1])
        return np.asarray((stdev > 0.5 * spread).any(axis=1))

    def links(self) -> tuple[Link, ...]:
        """The link of every objective."""
        return tuple(one.regression.link for one in self.regressions)

    def _latents(self, points: np.ndarray) -> list[tuple[Linearised, Latent]]:
        places = unit_coordinates(points, self.domain)
        distance = distances(places, unit_coordinates(self.scores.weights, self.domain))
        found = self.features(points)
        return [
            (one, predict_latent(one, columns, distance)) for one, columns in zip(self.regressions, found, strict=True)
        ]


def _root(covariance: np.ndarray) -> np.ndarray:
    """A square root of a covariance that rounding may have left slightly indefinite."""
    scale = float(covariance.diagonal().max(initial=0.0))
    for jitter in (1e-10, 1e-8, 1e-6):
        try:
            return np.linalg.cholesky(
                covariance + jitter * scale * np.eye(len(covariance)) + 1e-300 * np.eye(len(covariance))
            )
        except np.linalg.LinAlgError:
            continue
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))
