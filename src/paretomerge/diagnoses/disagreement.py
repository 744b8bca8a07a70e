"""Predicted and measured losses that disagree: the posteriors do not see the landscape that merges live on.

For one task, over `N` merged models, measured losses `y` on predicted ones `q`:

    slope        cov(q, y) / var(q): above 1 the posterior sees too little curvature, below 1 too much
    correlation  how well the prediction orders the models
    level        mean(y - q), nats: losses on unseen examples are higher than on the curvature's own

All three are evidence. The level is no sign of failure by itself (finetunes know their own examples), so slope and
correlation decide, and only where measured losses differ by more than the noise of their examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paretomerge.diagnoses.diagnosis import Diagnosis
from paretomerge.diagnoses.noise import noise_variance, score_variance
from paretomerge.types import Scores

FEWEST = 4
"""Models, at least."""
SLOPES = (0.25, 2.0)
"""Where posteriors are right about digits: 0.9 to 1.1; about sentiment 0.3 to 0.8, because curvature is measured on
examples that the finetunes know. Curvature at finetunes has 2 to 200."""
CORRELATION = 0.8
"""Where posteriors are right: above 0.98 on digits, 0.87 on sentiment."""
_RELIABLE = 0.8
"""Share of the measured variance that must be signal: below it, correlations are low whatever the posterior."""

CURVATURE_ELSEWHERE = (
    "curvature where merges land (posterior.settings: location: centred), which the default posterior has, or a Newton "
    "correction by such a posterior (newton_correct)"
)
MORE_EXAMPLES = "held-out examples for the curvature (posterior.split: validation), or more of them"
MORE_FLEXIBLE = "a more flexible posterior (posterior.family: subspace)"


@dataclass(frozen=True)
class Agreement:
    """How measured losses follow predicted ones, see the head of this file."""

    slope: float
    correlation: float
    level: float


def agreement_of(predicted: np.ndarray, measured: np.ndarray) -> Agreement:
    """Of predicted and measured losses `[N]`; slope and correlation are NaN where one of them does not vary.

    >>> agreement_of(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0]))
    Agreement(slope=2.0, correlation=1.0, level=2.0)
    """
    q, y = np.asarray(predicted, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    level = float(np.mean(y - q))
    q, y = q - q.mean(), y - y.mean()
    spread, other = float(q @ q), float(y @ y)
    if not (spread > 0 and other > 0):
        return Agreement(float("nan"), float("nan"), level)
    along = float(q @ y)
    return Agreement(along / spread, along / float(np.sqrt(spread * other)), level)


def predictions_disagree(scores: Scores, predicted: np.ndarray, tasks: Sequence[str]) -> tuple[Diagnosis, ...]:
    """One warning for each task whose predicted losses are of another size, or order models otherwise, than measured.

    Args:
        scores: of `N` merged models; objectives with the metric `"loss"` are looked at.
        predicted: `[N, T]`, the losses that the posteriors predict of the same models.
        tasks: `[T]`, the columns of `predicted`.
    """
    if len(scores) < FEWEST:
        return ()
    noise, variance = noise_variance(scores), score_variance(scores)
    found = []
    for column, objective in enumerate(scores.objectives):
        if objective.metric != "loss" or objective.task not in tasks:
            continue
        if not noise[column] < (1 - _RELIABLE) * variance[column]:
            continue
        agreement = agreement_of(predicted[:, list(tasks).index(objective.task)], scores.values[:, column])
        diagnosis = _diagnosis(objective.task, agreement)
        if diagnosis is not None:
            found.append(diagnosis)
    return tuple(found)


def _diagnosis(task: str, agreement: Agreement) -> Diagnosis | None:
    slope, correlation = agreement.slope, agreement.correlation
    evidence = {"slope": slope, "correlation": correlation, "level": agreement.level}
    if not np.isfinite(slope):
        return None
    if correlation < CORRELATION:
        message = f"{task}: measured losses do not follow the predicted ones (correlation {correlation:.2f})"
        remedy = f"{MORE_FLEXIBLE}; {CURVATURE_ELSEWHERE}"
    elif slope > SLOPES[1]:
        message = f"{task}: measured losses differ {slope:.3g} times as much as predicted: the posterior is too flat"
        remedy = CURVATURE_ELSEWHERE
    elif slope < SLOPES[0]:
        message = f"{task}: measured losses differ {slope:.2g} times as much as predicted: the posterior is too steep"
        remedy = MORE_EXAMPLES
    else:
        return None
    return Diagnosis("disagreement", "warning", message, remedy, evidence, (task,))
