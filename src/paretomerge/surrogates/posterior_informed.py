"""Posterior-informed surrogate: the posteriors already predict every task's loss; scores correct it.

    y_n(x) = g( a_n + s_n · q_n(x) + p_n(x) + r_n(x) ),     q_n(x) = the predicted loss of the objective's task

On a loss the prediction itself is the prior mean (`a = 0`, `s = 1`), so it predicts with no evaluation at all. What
posteriors get wrong is corrected as scores come: level and scale at once, then a quadratic `p` (wrong directions and
curvature), then a Gaussian process `r` (what no quadratic is, non-convex fronts for example). How large `p` and `r`
are is chosen by the evidence, starting from small.

Shapes: `N` scores, `K` points, `D` coordinates of the domain, `T` tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from paretomerge.errors import DataError
from paretomerge.surrogates.evidence import HyperPrior, choose_hyperparameters
from paretomerge.surrogates.fitted import FittedRegression
from paretomerge.surrogates.leave_one_out import poor_fit, predict_left_out, quality_of
from paretomerge.surrogates.links import Link, identity_link, link_of
from paretomerge.surrogates.polynomials import correcting_features
from paretomerge.surrogates.predicted_quadratics import Quadratics
from paretomerge.surrogates.quadratic import spread_of
from paretomerge.surrogates.regression import Linearised, Regression
from paretomerge.surrogates.residual import distances, unit_coordinates
from paretomerge.types import Domain, Objective, Scores

PredictedLosses = Callable[[np.ndarray], np.ndarray]

_CORRECTION, _AMPLITUDE, _LENGTH, _MISFIT = (0.3, 1.0), (0.2, 1.0), (0.7, 0.5), (0.01, 1.5)


@dataclass(frozen=True)
class PosteriorInformed:
    """Settings of the posterior-informed surrogate.

    Args:
        predicted_losses: points `[K, D]` → predicted losses `[K, T]`, one column per task; costs no evaluation, and
            is called once for all objectives.
        tasks: the names of those columns.
        links: `"bounds"` or `"identity"`; losses are always linked by the identity, in which `q` is given.
        prior_scale: prior standard deviation of the scale `s`, relative to its expected size (curvature from training
            examples is often 2-3 times off on test losses).
        residual: whether scores may correct more than level and scale.
    """

    predicted_losses: PredictedLosses
    tasks: tuple[str, ...]
    links: Literal["bounds", "identity"] = "bounds"
    prior_scale: float = 1.0
    residual: bool = True

    def fit(self, scores: Scores, domain: Domain) -> FittedInformed:
        """One regression per objective.

        Raises:
            DataError: `predicted_losses` returns another shape, or numbers that are not finite.
        """
        design = _Design(self, scores.objectives, domain)
        columns = design(scores.weights)
        outlook = design(domain.spread(64))
        places = unit_coordinates(scores.weights, domain)
        distance = distances(places, places)
        regressions = [
            self._fitted(scores, index, domain, columns[index], outlook[index], distance)
            for index in range(len(scores.objectives))
        ]
        return FittedInformed(self, scores, domain, design, tuple(regressions), _warnings(scores, regressions))

    def link(self, objective: Objective) -> Link:
        """Identity for losses; for other metrics as `links` says."""
        return identity_link() if _is_loss(objective) or self.links == "identity" else link_of(objective)

    def _fitted(
        self,
        scores: Scores,
        index: int,
        domain: Domain,
        features: np.ndarray,
        outlook: np.ndarray,
        distance: np.ndarray,
    ) -> Linearised:
        objective, values = scores.objectives[index], scores.values[:, index]
        link = self.link(objective)
        informed = 1 + len(self._partners(objective))
        mean, stdev, unit = self._prior(objective, link.inverse(values), features, outlook, informed)
        size = features.shape[1]
        correcting = np.arange(size) >= informed
        regression = Regression(
            link,
            values,
            scores.own_variance[:, index],
            features,
            distance,
            np.concatenate([mean, np.zeros(size - informed)]),
            np.concatenate([stdev, np.full(size - informed, unit / max(size - informed, 1) ** 0.5)]),
            correcting,
        )
        spread = spread_of(values)
        length = _LENGTH[0] * domain.cube_dimension**0.5 if domain.cube_dimension else 1.0
        prior = HyperPrior(
            _CORRECTION if self.residual else (0.0, 0.0),
            (_AMPLITUDE[0] * unit, _AMPLITUDE[1]) if self.residual else (0.0, 0.0),
            (length, _LENGTH[1] if self.residual else 0.0),
            (_MISFIT[0] * spread, _MISFIT[1]),
        )
        return choose_hyperparameters(regression, prior, 1e-7 * spread)

    def _prior(
        self, objective: Objective, eta: np.ndarray, features: np.ndarray, outlook: np.ndarray, informed: int
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Prior mean and standard deviation of level and scales, and the size of η's variation."""
        varies = np.std(outlook[:, 1:informed], axis=0)
        if _is_loss(objective) and objective.task in self.tasks:
            level = max(float(np.abs(eta).mean()), 1e-9) if len(eta) else 1.0
            unit = max(float(varies[0]), float(np.std(eta)) if len(eta) > 1 else 0.0, 1e-6 * level)
            return np.array([0.0, 1.0]), np.array([level, self.prior_scale]), unit
        unit = spread_of(eta) if len(eta) > 1 else 1.0
        expected = np.zeros(informed)
        expected[0] = float(eta.mean()) if len(eta) else 0.0
        per_loss = unit / np.maximum(varies, 1e-9)
        if objective.task in self.tasks and objective.direction == "maximise":
            expected[1:] = -per_loss
        return expected, np.concatenate([[10 * unit], self.prior_scale * per_loss / max(informed - 1, 1) ** 0.5]), unit

    def _partners(self, objective: Objective) -> list[int]:
        """The columns of the predicted losses that speak of an objective: its own task's, or all."""
        return [self.tasks.index(objective.task)] if objective.task in self.tasks else list(range(len(self.tasks)))


@dataclass(frozen=True, eq=False)
class FittedInformed(FittedRegression):
    """A fitted posterior-informed surrogate; before any score it may be a quadratic."""

    def quadratics(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """`A [M, D, D]`, `b [M, D]`, `e [M]` where the predictions are nothing but the posteriors' own quadratics.

        That is: nothing was scored, every objective is the loss of a task, and the predicted losses are `Quadratics`.
        """
        assert isinstance(self.surrogate, PosteriorInformed)
        predicted, tasks = self.surrogate.predicted_losses, self.surrogate.tasks
        known = all(_is_loss(objective) and objective.task in tasks for objective in self.objectives)
        if len(self.scores) or not known or not isinstance(predicted, Quadratics):
            return None
        columns = [tasks.index(objective.task) for objective in self.objectives]
        return predicted.curvatures[columns], predicted.gradients[columns], predicted.constants[columns]


@dataclass(frozen=True, eq=False)
class _Design:
    """The features of every objective at points: one, predicted losses, and what corrects them."""

    surrogate: PosteriorInformed
    objectives: tuple[Objective, ...]
    domain: Domain

    def __call__(self, points: np.ndarray) -> list[np.ndarray]:
        surrogate = self.surrogate
        if len(points):
            losses = np.asarray(surrogate.predicted_losses(points), dtype=np.float64)
        else:
            losses = np.zeros((0, len(surrogate.tasks)))
        if losses.shape != (len(points), len(surrogate.tasks)) or not np.isfinite(losses).all():
            raise DataError(
                f"predicted_losses returned shape {list(losses.shape)} ({int((~np.isfinite(losses)).sum())} not "
                f"finite) for {len(points)} points, expected [{len(points)}, {len(surrogate.tasks)}] finite numbers: "
                f"one column for each of {', '.join(surrogate.tasks)}"
            )
        ones = np.ones((len(points), 1))
        more = correcting_features(points, self.domain) if surrogate.residual else ones[:, :0]
        return [
            np.concatenate([ones, losses[:, surrogate._partners(objective)], more], axis=1)
            for objective in self.objectives
        ]


def _is_loss(objective: Objective) -> bool:
    return objective.metric == "loss"


def _warnings(scores: Scores, regressions: list[Linearised]) -> tuple[str, ...]:
    found = []
    for objective, one in zip(scores.objectives, regressions, strict=True):
        quality = quality_of(one.regression.values, predict_left_out(one))
        if len(scores) < 2 and not _is_loss(objective):
            found.append(
                f"{objective.name}: {len(scores)} scores say nothing of its level and unit; only the order of its "
                "predictions means something until more are evaluated"
            )
        elif quality < 0:
            found.append(poor_fit(objective.name, len(scores), quality))
    return tuple(found)
