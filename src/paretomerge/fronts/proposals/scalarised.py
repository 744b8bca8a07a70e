"""Random augmented Chebyshev scalarisations: one number per preference, for any number of objectives.

    g_w(z) = max_m w_m z_m + ρ Σ_m w_m z_m,     w on the simplex, ρ = 0.05

(Knowles, 2006, ParEGO: a hybrid algorithm with on-line landscape approximation for expensive multiobjective
optimization problems). Every Pareto-optimal point minimises some of them, also where the front is not convex; the sum
keeps weakly dominated points from winning.

Everything is minimised and scaled: zero is the best value of the front, one the worst. Shapes: `S` draws, `N` points,
`K` candidates, `M` objectives, `L` weightings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paretomerge.types import Simplex

AUGMENTATION = 0.05


def chebyshev(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`[..., L]`: `g_w` of scaled `values [..., M]` for every weighting `[L, M] > 0`; infinite values stay infinite.

    >>> chebyshev(np.array([[0.5, 1.0]]), np.array([[0.8, 0.2], [0.5, 0.5]])).round(4).tolist()
    [[0.43, 0.5375]]
    """
    largest = np.full((*values.shape[:-1], len(weights)), -np.inf)
    total = np.zeros_like(largest)
    for m in range(values.shape[-1]):
        part = values[..., m, None] * weights[:, m]
        np.maximum(largest, part, out=largest)
        total += part
    return largest + AUGMENTATION * total


def preferences(objectives: int, count: int, seed: int) -> np.ndarray:
    """`count` weightings `[L, M]`: the centre, evenly spread ones, and every other one drawn towards the faces.

    >>> preferences(2, 3, seed=0).shape
    (3, 2)
    """
    names = tuple(str(m) for m in range(objectives))
    weights = Simplex(names).spread(count, seed)
    weights[1::2] **= 3
    weights /= weights.sum(axis=1, keepdims=True)
    weights[:1] = 1 / objectives
    # A weight of zero would let an objective be as bad as it likes.
    return (weights + 1e-3) / (1 + 1e-3 * objectives)


@dataclass(frozen=True, eq=False)
class ScalarisedCriterion:
    """By how much a candidate is better than the best point so far, averaged over preferences and draws.

    Attributes:
        best: `[S, L]`, the least `g_w` of the points so far in each draw.
        weights: `[S, L, M]`, other preferences in every draw.
    """

    best: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, seed: int, per_draw: int = 16) -> ScalarisedCriterion:
        """From draws at the points so far, `[S, N, M]`."""
        draws, _, objectives = points.shape
        weights = preferences(objectives, draws * per_draw, seed)
        # Neighbours in the sequence are spread over the draws, so that each draw sees all kinds of preferences.
        weights = weights.reshape(per_draw, draws, objectives).swapaxes(0, 1)
        empty = cls(np.full((draws, per_draw), np.inf), weights)
        return empty.with_points(points)

    def gains(self, candidates: np.ndarray) -> np.ndarray:
        """`[K]`: the expected improvement by each of the candidates `[S, K, M]` alone."""
        gains = np.zeros(candidates.shape[1])
        for draw in range(len(candidates)):
            # Without a point so far, the worst of the front is what is improved on.
            best = np.minimum(self.best[draw], 1.0 + AUGMENTATION)
            gains += np.maximum(best - chebyshev(candidates[draw], self.weights[draw]), 0.0).mean(axis=1)
        return gains / len(candidates)

    def with_points(self, points: np.ndarray) -> ScalarisedCriterion:
        """With more points so far, `[S, N, M]`."""
        if not points.shape[1]:
            return self
        least = [chebyshev(points[draw], self.weights[draw]).min(axis=0) for draw in range(len(points))]
        return ScalarisedCriterion(np.minimum(self.best, np.array(least)), self.weights)

    @property
    def level(self) -> float:
        """What a gain is compared with: the mean distance of the best points from the worst corner of the front."""
        best = np.minimum(self.best, 1.0 + AUGMENTATION)
        return float(np.mean(1.0 + AUGMENTATION - best))
