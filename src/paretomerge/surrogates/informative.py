"""Which weightings are worth training: those whose truth tells most about all others.

Greedy: one weighting after the other, each the one that leaves the smallest posterior variance of the discrepancy,
averaged over the front's points, the objectives, and the draws of the prior's settings. Variances do not depend on the
truths, so that a whole batch can be chosen before anything is trained (Krause, Singh & Guestrin, 2008, Near-optimal
sensor placements in Gaussian processes).

Shapes: `K` points, `S` draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from paretomerge.errors import DataError
from paretomerge.surrogates.discrepancy import FittedDiscrepancy
from paretomerge.surrogates.discrepancy_member import Member
from paretomerge.surrogates.discrepancy_prior import Places

_MOST = 200
"""More points than this are thinned: covariances between all of them are held."""
_ABSENT = 1e-6


def informative_points(
    discrepancy: FittedDiscrepancy, points: Any, count: int, first: Sequence[int] = ()
) -> tuple[int, ...]:
    """The numbers of the `count` points whose joint finetunings would tell most, best first.

    Points that leave a task out come last: they are asked for, and averaged over, only where there are no others.
    Points that are known already tell nothing new, and are not asked for again.

    Args:
        discrepancy: what is known, the single finetunes at least.
        points: `[K, T]`, task weights, those of a front.
        count: how many; fewer are returned when there are not so many.
        first: points that are taken in any case, before the others.

    Raises:
        DataError: a point to start with that is not there.
    """
    weights = np.asarray(points, dtype=np.float64).reshape(-1, len(discrepancy.tasks))
    if any(not 0 <= row < len(weights) for row in first):
        raise DataError(f"there are points 0 to {len(weights) - 1}, not {max(first)}")
    known = np.abs(weights[:, None] - discrepancy.truths.weights).max(axis=2).min(axis=1) <= _ABSENT
    complete = (weights > _ABSENT).all(axis=1)
    chosen = [row for row in dict.fromkeys(int(row) for row in first) if not known[row]][:count]
    for allowed in (complete & ~known, ~complete & ~known):
        rows = _thinned(np.flatnonzero(allowed))
        wanted = min(count - len(chosen), len(set(rows) - set(chosen)))
        if wanted > 0:
            chosen += _greedy(discrepancy, weights, rows, chosen, wanted)
    return tuple(chosen)


def _greedy(
    discrepancy: FittedDiscrepancy, weights: np.ndarray, rows: np.ndarray, chosen: Sequence[int], wanted: int
) -> list[int]:
    """`wanted` of `rows`, given those that are chosen; variances are averaged over `rows`."""
    everyone = np.concatenate([np.array(chosen, dtype=int), np.setdiff1d(rows, chosen)])
    targets = np.isin(everyone, rows)
    beliefs = [_Belief(one, weights[everyone]) for one in discrepancy.members]
    for place in range(len(chosen)):
        for belief in beliefs:
            belief.learn(place)
    found: list[int] = []
    free = ~np.isin(everyone, chosen)
    while len(found) < wanted:
        gain = np.where(free, sum(belief.gain(targets) for belief in beliefs), -np.inf)
        # Rounded, so that symmetric points do not depend on rounding errors.
        place = int(np.argmax(np.round(gain / max(float(gain.max()), 1e-300), 9)))
        found.append(int(everyone[place]))
        free[place] = False
        for belief in beliefs:
            belief.learn(place)
    return found


class _Belief:
    """One objective's covariances between points, for the draws that matter, as points are learned."""

    def __init__(self, member: Member, weights: np.ndarray) -> None:
        rows, self._shares = member.leading
        self._covariance = member.joint(weights, rows)[1]
        settings = member.settings.take(rows)
        self._noise = settings.noise_variance(Places.of(weights, member.column))

    def gain(self, targets: np.ndarray) -> np.ndarray:
        """`[K]`, by how much knowing each point would lower the mean variance at the targets."""
        variance = np.maximum(np.diagonal(self._covariance, axis1=1, axis2=2), 0.0) + self._noise
        lower = (self._covariance[:, targets] ** 2).mean(axis=1) / variance
        found: np.ndarray = self._shares @ lower
        return found

    def learn(self, place: int) -> None:
        """Condition on a truth at a point; what it is does not matter for variances."""
        column = self._covariance[:, :, place]
        total = np.maximum(column[:, place], 0.0) + self._noise[:, place]
        self._covariance = self._covariance - column[:, :, None] * column[:, None] / total[:, None, None]


def _thinned(rows: np.ndarray) -> np.ndarray:
    """At most `_MOST` rows, evenly spaced."""
    if len(rows) <= _MOST:
        return rows
    return rows[np.linspace(0, len(rows) - 1, _MOST).round().astype(int)]
