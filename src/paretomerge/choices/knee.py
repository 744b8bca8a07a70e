"""The point where the front bends most: beyond it, a little of one objective costs much of another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paretomerge.choices.choice import Choice, choice_of, varying
from paretomerge.choices.criterion import preferred
from paretomerge.fronts import FrontUncertainty, minimised_values
from paretomerge.types import Front

FLAT = 1e-9
BEND = "knee"


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

    The plane is that of the front's own values; uncertain scores are held against it.
    """

    def choose(self, front: Front, uncertainty: FrontUncertainty | None = None) -> Choice:
        """The knee."""
        criterion = self.criterion(front, minimised_values(front))
        point, words = preferred(front, criterion), self.wish(front)
        if words == BEND:
            words = f"{BEND} (normalised distance {-criterion[point]:.3g} below the plane)"
        return choice_of(front, point, words, uncertainty)

    def wish(self, front: Front) -> str:
        """What it looks for, in words: the knee, or what stands for it on a front that has none."""
        own = varying(front, minimised_values(front))
        if not own.shape[1]:
            return "knee: all points have the same values"
        return BEND if _has_knee(own) else "no knee, the front is flat or concave: nearest to the ideal point"

    def criterion(self, front: Front, values: np.ndarray) -> np.ndarray:
        """`[..., K]`, minus the distance below the plane; on a front without a knee, the largest objective."""
        own, scaled = varying(front, minimised_values(front)), varying(front, values)
        if not own.shape[1]:
            return np.zeros(values.shape[:-1])
        return -_distance_below(own, scaled) if _has_knee(own) else scaled.max(axis=-1)

    def feasible(self, front: Front, values: np.ndarray) -> None:
        """It demands nothing."""


def _has_knee(own: np.ndarray) -> bool:
    return bool(_distance_below(own, own).max() > FLAT)


def _distance_below(own: np.ndarray, scaled: np.ndarray) -> np.ndarray:
    """`[..., K]`: signed distance to the plane through the extreme points of `own`, positive towards the ideal."""
    total = own.sum(axis=1)
    extremes = own[[np.lexsort((total, column))[0] for column in own.T]]
    normal, *_ = np.linalg.lstsq(extremes, np.ones(len(extremes)), rcond=None)
    if (normal <= FLAT).any() or not np.allclose(extremes @ normal, 1.0):
        normal = np.ones(own.shape[1])
    # Products and sums instead of `@`: the same bits for one table and for many.
    return ((extremes * normal).sum(axis=1).min() - (scaled * normal).sum(axis=-1)) / np.linalg.norm(normal)
