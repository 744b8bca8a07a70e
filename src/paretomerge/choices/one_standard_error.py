"""Of all points that cannot be told from the best, the simplest one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from paretomerge.choices.choice import Choice, choice_of
from paretomerge.choices.criterion import CriterionRule, checked_rule, eligible, preferred
from paretomerge.choices.draws import probability_fulfilled, score_draws
from paretomerge.errors import WeightsError
from paretomerge.fronts import FrontUncertainty, minimised_values
from paretomerge.types import Coefficients, Front


@dataclass(frozen=True)
class OneStandardError:
    """Among the points within one standard error of the best, the one whose weights are nearest to simple ones.

    A point is within when its criterion exceeds that of the rule's own choice by no more than the standard error of
    this difference, taken from joint draws: what both points share cancels (Breiman, Friedman, Olshen & Stone, 1984,
    Classification and regression trees). Equally simple points are told apart by the criterion.

    Where scores are certain, it is the wrapped rule's own choice.

    Args:
        of: the rule whose criterion counts.
        towards: task → weight that counts as simple; the most even weights when not given, which is the simplest merge.
    """

    of: CriterionRule
    towards: Mapping[str, float] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        """Check and copy, so that the rule cannot change."""
        checked_rule(self.of, "OneStandardError")
        if self.towards is not None:
            if not isinstance(self.towards, Mapping):
                raise WeightsError(f"towards must be a mapping task → weight, got {self.towards!r}")
            object.__setattr__(self, "towards", dict(self.towards))

    def choose(self, front: Front, uncertainty: FrontUncertainty | None = None) -> Choice:
        """The simplest of the points that cannot be told from the best.

        Raises:
            InfeasibleError: no point fulfils what the wrapped rule demands.
            WeightsError: `towards` does not fit the front's tasks.
        """
        best = self.of.choose(front, uncertainty).point.id
        draws = score_draws(front, uncertainty)
        behind = _behind(self.of.criterion(front, minimised_values(front)), best)
        error = _behind(self.of.criterion(front, draws.values), best).std(axis=0)
        within = eligible(self.of, front) & (behind <= error)
        distance = self._distance(front)
        # Equal but for rounding counts as equally simple; then the smaller criterion counts.
        simplest = within & (distance <= distance[within].min() + 1e-9)
        point = preferred(front, behind, simplest)
        goal = "the most even weights" if self.towards is None else "weights nearest to those asked for"
        words = (
            f"{goal} of the {int(within.sum())} points within one standard error of point {best} "
            f"({draws.described}): {self.of.wish(front)}"
        )
        return choice_of(front, point, words, uncertainty, probability_fulfilled(self.of, front, point, draws))

    def _distance(self, front: Front) -> np.ndarray:
        """`[K]`: how far each point's weights are from simple ones."""
        if self.towards is None:
            return np.linalg.norm(front.weights - front.weights.mean(axis=1, keepdims=True), axis=1)
        return np.linalg.norm(front.weights - Coefficients.of(self.towards, front.tasks).values[0], axis=1)


def _behind(criterion: np.ndarray, best: int) -> np.ndarray:
    """How much larger `criterion [..., K]` is than that of the best point."""
    return criterion - criterion[..., [best]]
