"""What every surrogate is: few scores in, a prediction with uncertainty at every point of a domain out.

Shapes: `N` scored points, `K` queries, `D` coordinates of the domain, `M` objectives.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from paretomerge.errors import DataError
from paretomerge.types import Domain, Objective, Scores


class Surrogate(Protocol):
    """Settings of a surrogate."""

    def fit(self, scores: Scores, domain: Domain) -> Fitted:
        """Fit to scores at points of the domain; `fit_surrogate` checks that they are.

        Raises:
            DataError: too few scores for a surrogate without an informative prior.
        """
        ...


MOST_JOINT = 4000
"""More points than this are not drawn jointly: the covariance of their scores would not fit in memory."""


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
        """Prediction and standard deviation `[K, M]` of the noise-free score at points `[K, D]`."""
        ...

    def sample(self, points: Any, draws: int, generator: np.random.Generator) -> np.ndarray:
        """`[S, K, M]` draws of the noise-free scores, joint over points; the objectives are independent."""
        ...

    def response(self, points: Any) -> np.ndarray:
        """`[M, K, N]`: the derivative of the predictions with respect to the scores, settings held fixed."""
        ...

    def extrapolates(self, points: Any) -> np.ndarray:
        """`[K]` booleans: whether the nearest scores say too little about a point (see each surrogate)."""
        ...


def require_scores(scores: Scores, needed: int, what: str) -> None:
    """Raise `DataError` when there are fewer than `needed` scores."""
    if len(scores) < needed:
        raise DataError(f"{what} needs at least {needed} scored points, got {len(scores)}: evaluate more")


def require_drawable(count: int) -> None:
    """Raise `DataError` for more points than can be drawn jointly."""
    if count > MOST_JOINT:
        raise DataError(
            f"{count} points to draw jointly, at most {MOST_JOINT} are possible: draw at fewer points, such as those "
            "near the predicted front"
        )
