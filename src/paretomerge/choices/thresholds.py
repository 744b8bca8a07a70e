"""At least this good on some objectives, then best on another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from paretomerge.choices.choice import (
    Choice,
    checked_wishes,
    choice_of,
    normalised_front,
    objective_names,
    require_objectives,
)
from paretomerge.errors import InfeasibleError
from paretomerge.types import Front, to_minimised


@dataclass(frozen=True)
class Thresholds:
    """Among the points at least as good as every threshold, the best one on `best`.

    A threshold is a lower bound on a maximised objective and an upper bound on a minimised one; meeting it
    exactly is enough. Equally good points are told apart by the sum of all normalised objectives. The front's
    values are compared as they are: their standard deviations are no margin.

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

    def choose(self, front: Front) -> Choice:
        """The best feasible point.

        Raises:
            DataError: an objective that the front does not have.
            InfeasibleError: no point fulfils all thresholds; says which point comes closest and what to relax.
        """
        require_objectives([*self.thresholds, *([self.best] if self.best is not None else [])], front.objectives)
        shortfall = self._shortfall(front)
        feasible = np.flatnonzero((shortfall <= 0).all(axis=1))
        if not len(feasible):
            raise InfeasibleError(self._what_to_relax(front, shortfall))
        names, scaled = objective_names(front), normalised_front(front)
        free = [i for i, name in enumerate(names) if name not in self.thresholds]
        wanted = (free or list(range(len(names)))) if self.best is None else [names.index(self.best)]
        # The primary key comes last in lexsort; equal keys keep the order of the points.
        order = np.lexsort((scaled[feasible].sum(axis=1), scaled[feasible][:, wanted].sum(axis=1)))
        goal = " + ".join(names[i] for i in wanted)
        return choice_of(front, int(feasible[order[0]]), f"{self._wish(front)}; then best on {goal}")

    def _shortfall(self, front: Front) -> np.ndarray:
        """`[N, wishes]`: how much worse than the threshold each point is, in the objective's unit."""
        columns = [objective_names(front).index(name) for name in self.thresholds]
        wished = [front.objectives[i] for i in columns]
        limits = np.array(list(self.thresholds.values()))
        return to_minimised(front.values[:, columns], wished) - to_minimised(limits, wished)

    def _what_to_relax(self, front: Front, shortfall: np.ndarray) -> str:
        """Message naming the point with the smallest sum of shortfalls, each divided by the objective's range."""
        width = np.ptp(shortfall, axis=0)
        missed = np.maximum(shortfall, 0.0) / np.where(width > 0, width, 1.0)
        closest = int(np.argmin(missed.sum(axis=1)))
        changes = []
        for name, missing in zip(self.thresholds, shortfall[closest], strict=True):
            if missing > 0:
                reached = front[closest].values[name]
                changes.append(f"{name!r} by {missing:.6g}, from {self.thresholds[name]:.6g} to {reached!r}")
        return (
            f"none of the {len(front)} points is {self._wish(front)}. Point {closest} comes closest: to reach it, "
            f"relax {' and '.join(changes)}"
        )

    def _wish(self, front: Front) -> str:
        limits = []
        for objective in front.objectives:
            if objective.name in self.thresholds:
                sign = "<=" if objective.direction == "minimise" else ">="
                limits.append(f"{objective.name} {sign} {self.thresholds[objective.name]:.6g}")
        return f"at least as good as {', '.join(limits)}"
