"""Posterior-informed surrogate: the posteriors already predict every task's loss; scores only calibrate it.

    y_n(α) = g( a_n + s_n · q_n(α) ),     q_n(α) = l̂_{t(n)}(θ(α))

two numbers per objective. On a loss metric the posterior's own prediction is the prior mean (`a = 0`, `s = 1`), so
it predicts with no evaluation at all; a metric in other units (accuracy) is learned from the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from paretomerge.errors import DataError
from paretomerge.surrogates.base import require_scores
from paretomerge.surrogates.links import Link, identity_link, link_of
from paretomerge.types import Objective, Scores


@dataclass(frozen=True)
class PosteriorInformed:
    """Settings of the posterior-informed surrogate.

    Args:
        predicted_losses: weightings `[K, T]` → predicted losses `[K, T]`, one column per task in the
            order of the weights' columns; costs no evaluation.
        links: `"bounds"` or `"identity"`; losses are always linked by the identity, in which `q` is given.
        prior_scale: prior standard deviation of the scale `s` (curvature from training examples is often 2-3 times
            off on test losses).
    """

    predicted_losses: Callable[[np.ndarray], np.ndarray]
    links: Literal["bounds", "identity"] = "bounds"
    prior_scale: float = 1.0

    def features(self, weights: np.ndarray, tasks: Sequence[str], objective: Objective) -> np.ndarray:
        """`[K, 2]`: one, and the predicted loss of the objective's task.

        Raises:
            DataError: an objective measured on none of the tasks, so that no loss is predicted for it.
        """
        if objective.task not in tasks:
            raise DataError(
                f"objective {objective.name!r} is measured on {objective.task!r}, whose loss no posterior predicts; "
                f"the tasks are {', '.join(tasks)}: use the quadratic surrogate"
            )
        if not len(weights):
            return np.zeros((0, 2))
        return np.stack([np.ones(len(weights)), self.predicted_losses(weights)[:, tasks.index(objective.task)]], axis=1)

    def prior(self, scores: Scores, objective: int, link: Link) -> tuple[np.ndarray, np.ndarray]:
        """For losses `a ~ N(0, level²)`, `s ~ N(1, prior_scale²)`; otherwise wide around the mean score."""
        if scores.objectives[objective].metric == "loss":
            level = float(np.abs(scores.values[:, objective]).mean()) if len(scores) else 1.0
            return np.array([0.0, 1.0]), np.array([max(level, 1e-3) ** 2, self.prior_scale**2])
        require_scores(scores, 2, f"calibrating {scores.objectives[objective].name!r} to predicted losses")
        eta = link.inverse(scores.values[:, objective])
        return np.array([float(eta.mean()), 0.0]), np.array([100.0, 100.0])

    def link(self, objective: Objective) -> Link:
        """Identity for losses; for other metrics as `links` says."""
        return identity_link() if objective.metric == "loss" or self.links == "identity" else link_of(objective)
