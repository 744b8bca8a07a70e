"""What every surrogate is: few scores in, a prediction with uncertainty at every weighting out.

Shapes: `N` scored weightings, `K` queries, `T` tasks, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from paretomerge.errors import DataError
from paretomerge.surrogates.links import Link
from paretomerge.surrogates.regression import Regression, fit_regression
from paretomerge.types import Domain, Objective, Origin, Scores, Weights


class Surrogate(Protocol):
    """Settings of a surrogate; `features` and `prior` turn it into one Bayesian regression per objective."""

    def features(self, weights: np.ndarray, tasks: Sequence[str], objective: Objective) -> np.ndarray:
        """`[K, F]` for weightings `[K, T]` of the named tasks."""
        ...

    def prior(self, scores: Scores, objective: int, link: Link) -> tuple[np.ndarray, np.ndarray]:
        """Prior mean and variance of the coefficients, each `[F]`."""
        ...

    def link(self, objective: Objective) -> Link:
        """The link of one objective."""
        ...


@runtime_checkable
class Fitted(Protocol):
    """A fitted surrogate.

    Two uncertainties are kept apart. `predict` and `sample` speak of the scores *on the examples that were used*:
    what the surrogate does not know about the landscape, and each score's own noise. `response` says how predictions
    move when scores do, from which follows what finite examples leave open (`Scores.shared`, or a bootstrap).
    """

    @property
    def scores(self) -> Scores:
        """What it was fitted to."""
        ...

    @property
    def domain(self) -> Domain:
        """Where it predicts."""
        ...

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the domain's coordinates."""
        ...

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The order of the columns of every prediction."""
        ...

    @property
    def fit_quality(self) -> np.ndarray:
        """Leave-one-out R² of each objective `[M]`; NaN where it cannot be computed."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before trusting it: underdetermined designs, poor fits."""
        ...

    def predict(self, points: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation `[K, M]` of the noise-free score at points `[K, D]`."""
        ...

    def sample(self, points: Any, draws: int, generator: np.random.Generator) -> np.ndarray:
        """`[S, K, M]` draws of the noise-free scores, joint over points; the objectives are independent."""
        ...

    def response(self, points: Any) -> np.ndarray:
        """`[M, K, N]`: the derivative of the predicted means with respect to the scores, settings held fixed."""
        ...

    def extrapolates(self, points: Any) -> np.ndarray:
        """`[K]` booleans: whether the nearest scores say too little about a point (see each surrogate)."""
        ...


@dataclass(frozen=True, eq=False)
class FittedSurrogate:
    """A surrogate fitted to scores.

    Attributes:
        fit_quality: leave-one-out R² of each objective `[M]`; NaN where it cannot be computed.
        warnings: what to know before trusting it (underdetermined designs, poor fits).
    """

    surrogate: Surrogate
    tasks: tuple[str, ...]
    objectives: tuple[Objective, ...]
    regressions: tuple[Regression, ...]
    scores: Scores
    fit_quality: np.ndarray
    warnings: tuple[str, ...] = field(default=())

    def predict(self, weights: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation `[K, M]` at weightings `[K, T]`."""
        batch = Weights.of(weights, self.tasks).batch
        pairs = [
            regression.predict(self.surrogate.features(batch, self.tasks, objective))
            for objective, regression in zip(self.objectives, self.regressions, strict=True)
        ]
        return np.stack([mean for mean, _ in pairs], axis=1), np.stack([stdev for _, stdev in pairs], axis=1)

    def predict_scores(self, weights: Any) -> Scores:
        """The prediction as `Scores` of origin `"predicted"`."""
        batch = Weights.of(weights, self.tasks).batch
        mean, stdev = self.predict(batch)
        origin: Origin = "predicted"
        return Scores(self.tasks, batch, mean, stdev, self.objectives, (origin,) * len(batch))


def fit_surrogate(scores: Scores, surrogate: Surrogate) -> FittedSurrogate:
    """Fit one regression per objective to the scores, and say how well it predicts what it has not seen.

    Raises:
        DataError: too few scores for a surrogate without an informative prior.
    """
    regressions, quality, warnings = [], [], []
    for index, objective in enumerate(scores.objectives):
        link = surrogate.link(objective)
        features = surrogate.features(scores.weights, scores.tasks, objective)
        mean, variance = surrogate.prior(scores, index, link)
        values, stderr = scores.values[:, index], scores.stderr[:, index]
        regressions.append(fit_regression(features, values, stderr, link, mean, variance))
        quality.append(_leave_one_out(features, values, stderr, link, mean, variance))
        rank = int(np.linalg.matrix_rank(features)) if len(features) else 0
        if rank < features.shape[1]:
            warnings.append(
                f"{objective.name}: {len(values)} scores determine {rank} of {features.shape[1]} coefficients; "
                "the rest is the prior"
            )
        elif quality[-1] < 0:
            warnings.append(
                f"{objective.name}: each of {len(values)} scores is predicted from the others worse than by their mean "
                f"(leave-one-out R² {quality[-1]:.2f}): evaluate more weightings, or take another surrogate or "
                "posterior"
            )
    return FittedSurrogate(
        surrogate, scores.tasks, scores.objectives, tuple(regressions), scores, np.array(quality), tuple(warnings)
    )


def require_scores(scores: Scores, needed: int, what: str) -> None:
    """Raise `DataError` when there are fewer than `needed` scores."""
    if len(scores) < needed:
        raise DataError(f"{what} needs at least {needed} scored weightings, got {len(scores)}: evaluate more")


def _leave_one_out(
    features: np.ndarray,
    values: np.ndarray,
    stderr: np.ndarray,
    link: Link,
    mean: np.ndarray,
    variance: np.ndarray,
) -> float:
    """R² of predicting each score from all others; NaN when there are too few, or no variation."""
    count = len(values)
    if count < 3 or float(np.var(values)) == 0:
        return float("nan")
    errors = np.empty(count)
    for left_out in range(count):
        keep = np.arange(count) != left_out
        fitted = fit_regression(features[keep], values[keep], stderr[keep], link, mean, variance)
        errors[left_out] = values[left_out] - fitted.predict(features[left_out : left_out + 1])[0][0]
    return 1 - float(np.mean(errors**2)) / float(np.var(values))
