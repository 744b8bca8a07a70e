"""The point where the front bends most: beyond it, a little of one objective costs much of another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paretomerge.choices.choice import Choice, choice_of, normalised_front
from paretomerge.types import Front

FLAT = 1e-9


@dataclass(frozen=True)
class Knee:
    """The point furthest below the hyperplane through the extreme points.

    On normalised values the extreme point of an objective is the one that is best on it (of several, the best on
    the sum of all). With `n` the shortest normal for which `nᵀx = 1` holds at every extreme point, the knee
    maximises the distance `(1 - nᵀv) / ‖n‖` on the side of the ideal point (Das, 1999, On characterizing the
    "knee" of the Pareto curve based on normal-boundary intersection; Branke et al., 2004, Finding knees in
    multi-objective optimization).

    Degenerate cases:
    - Objectives in which all points agree are left out; if that is all of them, point 0 is chosen.
    - If some extreme points coincide the plane is not unique; the shortest normal is one that contains them all.
    - If that normal is not positive, so that worse values would count as better, `n = (1, …, 1)` is used and the
      plane goes through the extreme point with the smallest sum.
    - A flat or concave front has no knee: no point lies below the plane. Then the point nearest to the ideal point
      in the largest normalised objective is chosen, and the rule's description says so.
    """

    def choose(self, front: Front) -> Choice:
        """The knee."""
        scaled = normalised_front(front)
        scaled = scaled[:, scaled.max(axis=0) > 0]
        if not scaled.shape[1]:
            return choice_of(front, 0, "knee: all points have the same values")
        below = _distance_below(scaled)
        point = int(np.argmax(below))
        if below[point] > FLAT:
            return choice_of(front, point, f"knee (normalised distance {below[point]:.3g} below the plane)")
        point = int(np.lexsort((scaled.sum(axis=1), scaled.max(axis=1)))[0])
        return choice_of(front, point, "no knee, the front is flat or concave: nearest to the ideal point")


def _distance_below(scaled: np.ndarray) -> np.ndarray:
    """`[N]`: signed distance of each point to the plane through the extreme points, positive towards the ideal."""
    total = scaled.sum(axis=1)
    extremes = scaled[[np.lexsort((total, column))[0] for column in scaled.T]]
    normal, *_ = np.linalg.lstsq(extremes, np.ones(len(extremes)), rcond=None)
    if (normal <= FLAT).any() or not np.allclose(extremes @ normal, 1.0):
        normal = np.ones(scaled.shape[1])
    return ((extremes @ normal).min() - scaled @ normal) / np.linalg.norm(normal)
