"""What jointly finetuned models have that their previews lack, at every weighting, from a few that were trained.

    h(trained_m(α))  =  h(preview_m(α)) + δ_m(α) + noise

(Kennedy & O'Hagan, 2001, Bayesian calibration of computer models: a cheap code corrected by a Gaussian process of its
discrepancy.) The scale `h` makes discrepancies comparable over tasks and metrics: a logarithm for what is bounded
below, so that δ is a relative change; `2 arcsin √` for what is bounded on both sides. What is believed of δ before
anything is known stands in `discrepancy_prior.py`. Single-task finetunes are truths at the corners, at no training.

Shapes: `N` known weightings, `K` queries, `T` tasks, `M` objectives, `S` draws of the prior's settings, `R` draws of
scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paretomerge.errors import DataError
from paretomerge.surrogates.discrepancy_member import Member, mixed
from paretomerge.surrogates.discrepancy_prior import DiscrepancyPrior
from paretomerge.types import Objective, Scores, require_tasks

_SAME = 1e-6


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Every known weighting as the others predict it, to be held against what was trained there.

    Attributes:
        mean: `[N, M]`, predicted scores of a joint finetuning.
        lower, upper: `[N, M]`, ends of the intervals of its measured scores.
        level: of the intervals.
    """

    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    level: float

    def take(self, rows: Sequence[int] | np.ndarray) -> LeftOut:
        """Some of the weightings."""
        index = np.asarray(rows, dtype=int)
        return LeftOut(self.mean[index], self.lower[index], self.upper[index], self.level)


@dataclass(frozen=True, eq=False)
class FittedDiscrepancy:
    """Discrepancies given what was trained.

    Attributes:
        previews, truths: what it was fitted to, at the same weightings.
        members: one per objective.
    """

    previews: Scores
    truths: Scores
    members: tuple[Member, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the weights."""
        return self.truths.tasks

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The order of the columns."""
        return self.truths.objectives

    def predict(self, points: Any, previews: Any, stdev: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Score of one joint finetuning at points `[K, T]` whose previews are `[K, M]`: its median and its error.

        Args:
            points: task weights.
            previews: of the objectives, in their own units.
            stdev: `[K, M]`, standard deviations of the previews; zeros when not given.

        Returns:
            `[K, M]` each. The error has three parts: the discrepancy is not known exactly, trainings differ from one
            another, and the preview may be uncertain itself.

        Raises:
            DataError: shapes that disagree.
        """
        weights, given = self._checked(points, previews)
        spread = np.zeros_like(given) if stdev is None else np.broadcast_to(np.asarray(stdev, np.float64), given.shape)
        means, errors = [], []
        for column, one in enumerate(self.members):
            mean, variance = one.posterior(weights)
            before = one.to_scale(given[:, column])
            slope = one.slope(before + mean)
            # What is uncertain about the preview arrives as steep as the scale is there, compared with here.
            passed = spread[:, column] * slope / np.maximum(one.slope(before), 1e-12)
            means.append(one.from_scale(before + mean))
            errors.append(np.sqrt(slope**2 * variance + passed**2))
        return np.stack(means, axis=1), np.stack(errors, axis=1)

    def sample(self, points: Any, previews: Any, generator: np.random.Generator) -> np.ndarray:
        """`[R, K, M]` draws of scores of joint finetunings at points `[K, T]`, joint over points.

        Args:
            points: task weights.
            previews: `[R, K, M]`, draws of the previews; what is uncertain about them is passed on.
            generator: of the draws.

        Raises:
            DataError: shapes that disagree.
        """
        draws = np.asarray(previews, dtype=np.float64)
        if draws.ndim != 3 or not len(draws):
            raise DataError(f"draws of previews have shape {list(draws.shape)}, expected [draws, points, objectives]")
        weights, _ = self._checked(points, draws[0])
        found = np.empty_like(draws)
        for column, one in enumerate(self.members):
            moved = one.sample(weights, len(draws), generator)
            found[..., column] = one.from_scale(one.to_scale(draws[..., column]) + moved)
        return found

    def leave_one_out(self, level: float = 0.9) -> LeftOut:
        """Every known weighting predicted from the others, with the settings that these others support.

        Raises:
            DataError: a level outside (0, 1).
        """
        from scipy.special import ndtri

        if not 0 < level < 1:
            raise DataError(f"the level of an interval lies between 0 and 1, got {level}: 0.9 means 90 %")
        width = float(ndtri((1 + level) / 2))
        rows = []
        predicted = _left_out(self.members, self.objectives)
        for previews, one, (mean, variance) in zip(self.previews.values.T, self.members, predicted, strict=True):
            centre, half = one.to_scale(previews) + mean, width * np.sqrt(variance)
            rows.append([one.from_scale(moved) for moved in (centre, centre - half, centre + half)])
        mean, lower, upper = np.array(rows).transpose(1, 2, 0)
        return LeftOut(mean, lower, upper, level)

    def select(self, objectives: Sequence[Objective]) -> FittedDiscrepancy:
        """The same for some of the objectives, in another order.

        Raises:
            DataError: an objective that it was not fitted to.
        """
        known = [objective.name for objective in self.objectives]
        for objective in objectives:
            if objective.name not in known:
                raise DataError(f"no truth was measured of {objective.name!r}, only of {', '.join(known)}")
        rows = [known.index(objective.name) for objective in objectives]
        members = tuple(self.members[row] for row in rows)
        return FittedDiscrepancy(self.previews.columns(rows), self.truths.columns(rows), members)

    def _checked(self, points: Any, previews: Any) -> tuple[np.ndarray, np.ndarray]:
        weights = np.asarray(points, dtype=np.float64).reshape(-1, len(self.tasks))
        values = np.asarray(previews, dtype=np.float64)
        if values.shape != (len(weights), len(self.members)) or not np.isfinite(values).all():
            raise DataError(
                f"previews have shape {list(values.shape)}, expected {[len(weights), len(self.members)]} finite "
                "numbers (points × objectives)"
            )
        return weights, values


def fit_discrepancy(
    previews: Scores,
    truths: Scores,
    *,
    noise: np.ndarray | None = None,
    prior: DiscrepancyPrior | None = None,
) -> FittedDiscrepancy:
    """Fit to what was trained.

    Args:
        previews: scores of merged models (or predictions) at `N` weightings.
        truths: scores of jointly finetuned models at the same weightings, in the same order; at the corners, those of
            the single finetunes.
        noise: `[M, N, N]`, covariance of the differences `truth - preview` that is due to finite examples, as
            `evaluation.shared_covariance` of the paired differences gives it; without it all noise counts as that of
            trainings.
        prior: what is believed before; the measured default when not given.

    Raises:
        DataError: nothing trained, other weightings or objectives, or a covariance of another shape.
        WeightsError: other tasks.
    """
    _require_same(previews, truths)
    count, size = truths.values.shape
    covariance = np.zeros((size, count, count)) if noise is None else np.asarray(noise, dtype=np.float64)
    if covariance.shape != (size, count, count) or not np.isfinite(covariance).all():
        raise DataError(
            f"the noise has shape {list(covariance.shape)}, expected {[size, count, count]} finite numbers "
            "(objectives × weightings × weightings)"
        )
    settings = (prior or DiscrepancyPrior()).sample()
    members = [Member.of(previews, truths, column, covariance[column], settings) for column in range(size)]
    groups: dict[str, np.ndarray] = {}
    for objective, one in zip(truths.objectives, members, strict=True):
        groups[objective.metric] = groups.get(objective.metric, 0.0) + one.log_evidence
    pooled = zip(truths.objectives, members, strict=True)
    return FittedDiscrepancy(
        previews, truths, tuple(one.supported(groups[objective.metric]) for objective, one in pooled)
    )


def _left_out(members: Sequence[Member], objectives: Sequence[Objective]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and variance `[N]` of every residual given the others (Rasmussen & Williams, 2006, 5.4.2)."""
    own = [np.diagonal(one.inverse, axis1=1, axis2=2) for one in members]
    errors = [(one.inverse @ one.residual) / precision for one, precision in zip(members, own, strict=True)]
    density: dict[str, np.ndarray] = {}
    for objective, precision, error in zip(objectives, own, errors, strict=True):
        before = density.get(objective.metric, np.zeros_like(error))
        density[objective.metric] = before + 0.5 * np.log(precision) - 0.5 * error**2 * precision
    found = []
    for objective, one, precision, error in zip(objectives, members, own, errors, strict=True):
        # Without a weighting the evidence lacks how well the others predict it.
        log = np.log(np.maximum(one.shares, 1e-300))[:, None] - density[objective.metric]
        share = np.exp(log - log.max(axis=0))
        found.append(mixed(share / share.sum(axis=0), one.residual - error, 1 / precision))
    return found


def _require_same(previews: Scores, truths: Scores) -> None:
    require_tasks(previews.tasks, truths.tasks)
    if previews.tasks != truths.tasks or previews.objectives != truths.objectives:
        raise DataError("previews and truths are of different tasks or objectives, or in another order")
    if not len(truths):
        raise DataError("nothing was trained yet: at least one weighting, or the single finetunes, must be known")
    if len(previews) != len(truths) or np.abs(previews.weights - truths.weights).max() > _SAME:
        raise DataError("previews and truths are at different weightings: give them row by row")
