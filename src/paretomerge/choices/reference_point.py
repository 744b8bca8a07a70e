"""The point that comes closest to, or goes furthest beyond, an aspiration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from paretomerge.choices.choice import (
    Choice,
    checked_wishes,
    choice_of,
    objective_names,
    require_objectives,
)
from paretomerge.errors import DataError
from paretomerge.fronts import minimised_values
from paretomerge.types import Front, to_minimised


@dataclass(frozen=True)
class ReferencePoint:
    """The minimiser of the augmented achievement scalarising function.

        s(v) = max_m (v_m - q_m) / r_m  +  augmentation · Σ_m (v_m - q_m) / r_m

    with `v` minimised, `q` the aspiration and `r` the range of each objective over the front. It needs no guess
    of what is feasible: with an aspiration out of reach it takes the point whose largest shortfall is smallest,
    with a modest one the point that exceeds it most evenly (Wierzbicki, 1980, The use of reference objectives in
    multiobjective optimization).

    An objective without an aspiration takes no part in the maximum, only in the sum. An objective in which all
    points agree takes no part at all: it cannot tell them apart.

    Args:
        aspiration: objective → wished value, in its own unit and direction.
        augmentation: `>= 0`; small, it breaks ties and bounds how much of one objective is traded for another.
    """

    aspiration: Mapping[str, float] = field(hash=False)
    augmentation: float = 1e-4

    def __post_init__(self) -> None:
        """Check and copy, so that the rule cannot change."""
        object.__setattr__(self, "aspiration", checked_wishes(self.aspiration, "the aspiration"))
        if not (math.isfinite(self.augmentation) and self.augmentation >= 0):
            raise DataError(f"augmentation is {self.augmentation}, expected a finite number >= 0, such as 1e-4")

    def choose(self, front: Front) -> Choice:
        """The point with the smallest achievement function.

        Raises:
            DataError: an objective that the front does not have.
        """
        require_objectives(self.aspiration, front.objectives)
        values = minimised_values(front)
        best, width = values.min(axis=0), np.ptp(values, axis=0)
        names = objective_names(front)
        goal = to_minimised(np.array([self.aspiration.get(name, 0.0) for name in names]), front.objectives)
        wished = np.array([name in self.aspiration for name in names])
        # Without an aspiration the best value stands in: a constant in the sum, which changes no choice.
        short = (values - np.where(wished, goal, best)) / np.where(width > 0, width, 1.0)
        short = short[:, width > 0]
        deciding = short[:, wished[width > 0]]
        largest = deciding.max(axis=1) if deciding.shape[1] else np.zeros(len(front))
        point = int(np.argmin(largest + self.augmentation * short.sum(axis=1)))
        wish = ", ".join(f"{name}={self.aspiration[name]:.6g}" for name in names if name in self.aspiration)
        reached = bool((values[point] <= goal)[wished].all())
        return choice_of(front, point, f"closest to the aspiration {wish} ({'' if reached else 'not '}reached)")
