"""What is believed of discrepancies before any weighting is verified: the prior covariance and its settings.

    δ_m(α) ~ GP:   trend² (1 - α_t)(1 - α'_t)  +  own² k(√α_t, √α'_t)  +  rest² k(√α, √α')     the task has weight
                   absent² k(√α, √α')          +  rest² k(√α, √α')                             it has none

for the objective `m` of task `t`. The less weight a task has, the more its merge differs from joint finetuning: the
trend, which is zero at the task's own corner. Training without a task is another regime, of which the others say
little. Roots of weights are distances on a sphere (Hellinger): between 0 and 0.1 more happens than between 0.5 and 0.6.
`k` is Matérn 5/2.

Seven numbers say how large the parts are. They are not optimised, which few observations do not allow, but averaged
over: draws from the prior, weighted by the evidence of all objectives of a metric together.

Shapes: `N` and `K` weightings, `T` tasks, `S` draws of the settings.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from paretomerge.surrogates.residual import correlation, distances

_ABSENT = 1e-6
"""Less weight than this is none."""


@dataclass(frozen=True)
class DiscrepancyPrior:
    """Median and spread (standard deviation of the logarithm) of every setting.

    In units of `2 arcsin √` of accuracies and of logarithms of losses: 0.1 is about a tenth of a loss.

    Args:
        trend, own, rest, absent: the four parts, as standard deviations.
        own_length, rest_length: in roots of weights.
        noise: of one joint finetuning: what another seed changes.
        absent_noise: more of it on a task without weight.
        draws: `S`, a power of two.
    """

    trend: tuple[float, float] = (0.5, 0.7)
    own: tuple[float, float] = (0.2, 0.7)
    rest: tuple[float, float] = (0.12, 0.7)
    absent: tuple[float, float] = (0.4, 0.7)
    own_length: tuple[float, float] = (0.7, 0.5)
    rest_length: tuple[float, float] = (0.7, 0.5)
    noise: tuple[float, float] = (0.02, 0.7)
    absent_noise: tuple[float, float] = (0.1, 0.7)
    draws: int = 256

    def sample(self) -> DiscrepancySettings:
        """`S` draws that fill the prior evenly (Sobol), the same ones every time."""
        from scipy.special import ndtri
        from scipy.stats import qmc

        names = [field.name for field in fields(DiscrepancySettings)]
        # Scrambled with a fixed seed: the first point of the plain sequence lies on the boundary.
        normal = ndtri(qmc.Sobol(len(names), seed=0).random(self.draws))
        drawn = {}
        for name, column in zip(names, normal.T, strict=True):
            median, spread = getattr(self, name)
            drawn[name] = median * np.exp(spread * column)
        return DiscrepancySettings(**drawn)


@dataclass(frozen=True, eq=False)
class DiscrepancySettings:
    """Draws of the settings, each `[S]`; see `DiscrepancyPrior`."""

    trend: np.ndarray
    own: np.ndarray
    rest: np.ndarray
    absent: np.ndarray
    own_length: np.ndarray
    rest_length: np.ndarray
    noise: np.ndarray
    absent_noise: np.ndarray

    def __len__(self) -> int:
        """`S`."""
        return len(self.trend)

    def take(self, rows: np.ndarray) -> DiscrepancySettings:
        """Some of the draws."""
        return DiscrepancySettings(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def covariance(self, one: Places, other: Places) -> np.ndarray:
        """`[S, N, K]`, prior covariance of one objective's discrepancy between places."""
        weighted = np.outer(one.share > _ABSENT, other.share > _ABSENT)
        absent = np.outer(one.share <= _ABSENT, other.share <= _ABSENT)
        near = correlation(distances(one.roots, other.roots), _column(self.rest_length))
        apart = np.abs(np.sqrt(one.share)[:, None] - np.sqrt(other.share))
        trend = _column(self.trend) ** 2 * np.outer(1 - one.share, 1 - other.share)
        own = _column(self.own) ** 2 * correlation(apart, _column(self.own_length))
        rest = (_column(self.rest) ** 2 + _column(self.absent) ** 2 * absent) * near
        return weighted * (trend + own) + rest

    def variance(self, places: Places) -> np.ndarray:
        """`[S, K]`, its diagonal."""
        absent = places.share <= _ABSENT
        trend = self.trend[:, None] * (1 - places.share)
        return (
            ~absent * (trend**2 + self.own[:, None] ** 2) + self.rest[:, None] ** 2 + absent * self.absent[:, None] ** 2
        )

    def noise_variance(self, places: Places) -> np.ndarray:
        """`[S, K]`, of one joint finetuning at each place."""
        return self.noise[:, None] ** 2 + (places.share <= _ABSENT) * self.absent_noise[:, None] ** 2


@dataclass(frozen=True, eq=False)
class Places:
    """Weightings as one objective sees them.

    Attributes:
        roots: `[K, T]`, roots of the weights.
        share: `[K]`, the weight of the objective's task; of the largest task, where it is nobody's.
    """

    roots: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, weights: np.ndarray, column: int | None) -> Places:
        """From weightings `[K, T]` and the column of the objective's task."""
        weights = np.asarray(weights, dtype=np.float64)
        share = weights.max(axis=1) if column is None else weights[:, column]
        return cls(np.sqrt(weights), share)

    def take(self, rows: np.ndarray) -> Places:
        """Some of the weightings."""
        return Places(self.roots[rows], self.share[rows])


def _column(values: np.ndarray) -> np.ndarray:
    return values[:, None, None]
