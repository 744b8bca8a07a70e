"""The point that comes closest to, or goes furthest beyond, an aspiration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from paretomerge.choices.achievement import AUGMENTATION, achievement, require_augmentation
from paretomerge.choices.choice import Choice, choice_of
from paretomerge.choices.criterion import preferred
from paretomerge.choices.wishes import checked_wishes, objective_names, require_objectives
from paretomerge.fronts import FrontUncertainty, minimised_values
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
    augmentation: float = AUGMENTATION

    def __post_init__(self) -> None:
        """Check and copy, so that the rule cannot change."""
        object.__setattr__(self, "aspiration", checked_wishes(self.aspiration, "the aspiration"))
        require_augmentation(self.augmentation)

    def choose(self, front: Front, uncertainty: FrontUncertainty | None = None) -> Choice:
        """The point with the smallest achievement function.

        Raises:
            DataError: an objective that the front does not have.
        """
        values = minimised_values(front)
        point = preferred(front, self.criterion(front, values))
        goal = self._goal(front)
        reached = bool((values[point] <= goal)[~np.isnan(goal)].all())
        return choice_of(front, point, f"{self.wish(front)} ({'' if reached else 'not '}reached)", uncertainty)

    def wish(self, front: Front) -> str:
        """What it looks for, in words."""
        wished = [name for name in objective_names(front) if name in self.aspiration]
        return f"closest to the aspiration {', '.join(f'{name}={self.aspiration[name]:.6g}' for name in wished)}"

    def criterion(self, front: Front, values: np.ndarray) -> np.ndarray:
        """`[..., K]`, the achievement function."""
        return achievement(front, values, self._goal(front), self.augmentation)

    def feasible(self, front: Front, values: np.ndarray) -> None:
        """It demands nothing: a goal out of reach is approached."""

    def _goal(self, front: Front) -> np.ndarray:
        """`[M]`, minimised; NaN where nothing is wished for."""
        require_objectives(self.aspiration, front.objectives)
        goal = np.array([self.aspiration.get(name, np.nan) for name in objective_names(front)])
        return to_minimised(goal, front.objectives)
