"""Noisy expected hypervolume improvement: what a candidate adds, averaged over joint draws of all scores.

    NEHVI(x) = E_f [ HV(f(P) ∪ f(x)) - HV(f(P)) ],     f ~ the surrogate's posterior,

with the points so far `P` drawn too, because measured and predicted scores are both uncertain; and with the points
already proposed drawn along, which makes greedy batches (Daulton, Balandat & Bakshy, 2021, Parallel Bayesian
optimization of multiple noisy objectives with expected hypervolume improvement).

Everything is minimised and scaled. Shapes: `S` draws, `N` points, `K` candidates, `M` objectives.
"""

from __future__ import annotations

from dataclasses import dataclass

import moocore
import numpy as np

from paretomerge.fronts.proposals.improvement import Boxes, undominated_boxes


@dataclass(frozen=True, eq=False)
class HypervolumeCriterion:
    """The expected hypervolume that a candidate adds to the points so far.

    Attributes:
        points: `[S, N, M]`, draws at the points so far; infinite where a point is infeasible.
        reference: `[M]`.
        boxes: what they leave undominated.
    """

    points: np.ndarray
    reference: np.ndarray
    boxes: Boxes

    @classmethod
    def of(cls, points: np.ndarray, reference: np.ndarray) -> HypervolumeCriterion:
        """From draws at the points so far, `[S, N, M]`."""
        return cls(points, reference, undominated_boxes(points, reference))

    def gains(self, candidates: np.ndarray) -> np.ndarray:
        """`[K]`: the expected improvement by each of the candidates `[S, K, M]` alone."""
        return self.boxes.improvements(candidates).mean(axis=0)

    def with_points(self, points: np.ndarray) -> HypervolumeCriterion:
        """With more points so far, `[S, N, M]`."""
        return HypervolumeCriterion.of(np.concatenate([self.points, points], axis=1), self.reference)

    @property
    def level(self) -> float:
        """What a gain is compared with: the expected hypervolume of the points so far."""
        volumes = []
        for draw in self.points:
            inside = draw[(draw < self.reference).all(axis=1)]
            volumes.append(moocore.hypervolume(inside, ref=self.reference) if len(inside) else 0.0)
        return float(np.mean(volumes))
