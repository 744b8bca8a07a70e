"""At least this good on some objectives, then best on another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from paretomerge.choices.choice import Choice, choice_of, normalised
from paretomerge.choices.criterion import eligible, preferred
from paretomerge.choices.draws import probability_fulfilled, score_draws
from paretomerge.choices.infeasible import infeasible
from paretomerge.choices.wishes import bound, checked_wishes, objective_names, require_objectives
from paretomerge.fronts import FrontUncertainty, minimised_values
from paretomerge.types import Front, to_minimised


@dataclass(frozen=True)
class Thresholds:
    """Among the points at least as good as every threshold, the best one on `best` (the epsilon constraint method).

    A threshold is a lower bound on a maximised objective and an upper bound on a minimised one; meeting it
    exactly is enough. Equally good points are told apart by the sum of all normalised objectives. The front's
    values are compared as they are: their standard deviations are no margin; how probable it is that the thresholds
    are met is part of the answer (Haimes, Lasdon & Wismer, 1971, On a bicriterion formulation of the problems of
    integrated system identification and system optimization).

    Args:
        thresholds: objective → value, in its own unit.
        best: the objective to optimise; when not given, the sum of the normalised objectives without a
            threshold (of all objectives, if every one has a threshold).
    """

    thresholds: Mapping[str, float] = field(hash=False)
    best: str | None = None

    def __post_init__(self) -> None:
        """Check and copy, so that the rule cannot change."""
        object.__setattr__(self, "thresholds", checked_wishes(self.thresholds, "thresholds"))

    def choose(self, front: Front, uncertainty: FrontUncertainty | None = None) -> Choice:
        """The best feasible point.

        Raises:
            DataError: an objective that the front does not have.
            InfeasibleError: no point fulfils all thresholds; says which point comes closest and what to relax.
        """
        feasible = eligible(self, front)
        if not feasible.any():
            refusal = f"none of the {len(front)} points is {self._limits(front)}"
            raise infeasible(front, self.thresholds, refusal)
        point = preferred(front, self.criterion(front, minimised_values(front)), feasible)
        holds = probability_fulfilled(self, front, point, score_draws(front, uncertainty))
        return choice_of(front, point, self.wish(front), uncertainty, holds)

    def wish(self, front: Front) -> str:
        """What it looks for, in words."""
        names = objective_names(front)
        return f"{self._limits(front)}; then best on {' + '.join(names[i] for i in self._wanted(front))}"

    def criterion(self, front: Front, values: np.ndarray) -> np.ndarray:
        """`[..., K]`, the sum of the normalised objectives to optimise."""
        return normalised(front, values)[..., self._wanted(front)].sum(axis=-1)

    def feasible(self, front: Front, values: np.ndarray) -> np.ndarray:
        """`[..., K]`: whether a point is at least as good as every threshold."""
        self._require_known(front)
        limits = np.array([self.thresholds.get(name, np.nan) for name in objective_names(front)])
        return np.logical_not((values > to_minimised(limits, front.objectives)).any(axis=-1))

    def _wanted(self, front: Front) -> list[int]:
        """The columns to optimise."""
        self._require_known(front)
        names = objective_names(front)
        if self.best is not None:
            return [names.index(self.best)]
        return [i for i, name in enumerate(names) if name not in self.thresholds] or list(range(len(names)))

    def _require_known(self, front: Front) -> None:
        require_objectives([*self.thresholds, *([self.best] if self.best is not None else [])], front.objectives)

    def _limits(self, front: Front) -> str:
        limited = [objective for objective in front.objectives if objective.name in self.thresholds]
        return f"at least as good as {', '.join(bound(o, self.thresholds[o.name]) for o in limited)}"
