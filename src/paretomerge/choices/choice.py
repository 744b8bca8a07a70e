"""One point of a front, chosen by a stated rule, with what it gives up.

Every rule is a frozen dataclass of its settings with `choose(front, uncertainty)`. All rules but `ByWeights` look only
at the normalised values `(v - best) / (worst - best)`, best and worst of each objective over the front, so the unit
of an objective changes nothing. Ties go to the point with the smaller sum of normalised values, then to the one with
the lowest number.

Shapes: `N` points, `M` objectives.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol, runtime_checkable

import numpy as np

from paretomerge.choices.wishes import objective_names
from paretomerge.errors import DataError
from paretomerge.fronts import FrontUncertainty, minimised_values
from paretomerge.types import Front, FrontPoint

ALTERNATIVES = 2
LEVEL = 0.9
"""Of intervals that are made from the front's standard deviations."""


@dataclass(frozen=True)
class Alternative:
    """Another point, and what going there instead would change.

    Args:
        point: its weighting, values and standard deviations.
        gains: objective → how much better it is than the chosen point, `> 0`, in that objective's unit.
        loses: objective → how much worse it is, `> 0`.
    """

    point: FrontPoint
    gains: dict[str, float]
    loses: dict[str, float]


@dataclass(frozen=True)
class Choice:
    """The chosen point.

    Args:
        point: its weighting, values and standard deviations.
        rule: how it was chosen, in words.
        gives_up: objective → how much worse it is than the best value on the front, `>= 0`, in that objective's
            unit whatever its direction.
        alternatives: the nearest two points with other values (fewer on a small front), nearest first, by the
            distance between normalised values.
        interval: objective → (lower, upper) of the point's score.
        level: of the intervals.
        probability_nondominated: how probable it is that no other point of the front dominates this one; `None` when
            nothing but standard deviations is known.
        probability_fulfilled: how probable it is that the point keeps the thresholds or bounds of the rule; `None` for
            a rule that has none.
    """

    point: FrontPoint
    rule: str
    gives_up: dict[str, float]
    alternatives: tuple[Alternative, ...]
    interval: dict[str, tuple[float, float]]
    level: float
    probability_nondominated: float | None = None
    probability_fulfilled: float | None = None

    def __repr__(self) -> str:
        """The weighting, then a line per objective."""
        weights = ", ".join(f"{task} {weight:.4g}" for task, weight in self.point.weights.items())
        lines = [f"Choice of point {self.point.id} ({self.point.origin}): {weights}", f"  rule: {self.rule}"]
        for name, value in self.point.values.items():
            low, high = self.interval[name]
            between = f"{100 * self.level:.4g} % interval {low:.4g} to {high:.4g}"
            lines.append(f"  {name}: {value:.4g}, {between}, gives up {self.gives_up[name]:.4g}")
        if self.probability_nondominated is not None:
            lines.append(f"  probability that no other point dominates it: {self.probability_nondominated:.2f}")
        if self.probability_fulfilled is not None:
            lines.append(f"  probability that it keeps what was asked for: {self.probability_fulfilled:.2f}")
        if self.alternatives:
            others = ", ".join(f"point {other.point.id}" for other in self.alternatives)
            lines.append(f"  nearest alternatives: {others}")
        return "\n".join(lines)


@runtime_checkable
class ChoiceRule(Protocol):
    """A preference: from a front to one of its points."""

    def choose(self, front: Front, uncertainty: FrontUncertainty | None = None) -> Choice:
        """The point that this rule prefers."""


def choose(front: Front, rule: ChoiceRule, uncertainty: FrontUncertainty | None = None) -> Choice:
    """The point of `front` that `rule` prefers: `choose(front, Knee())`.

    Args:
        front: the points to choose from.
        rule: the preference.
        uncertainty: of this front, as `front_uncertainty` gives it; without it, only the front's own standard
            deviations are known, and errors of different points count as independent.

    Raises:
        DataError: not a rule, a rule with the name of an objective that the front does not have, or the uncertainty of
            another front.
        InfeasibleError: a wish that no point fulfils.
        WeightsError: task weights that do not fit the front's tasks.
    """
    if isinstance(rule, type) or not isinstance(rule, ChoiceRule):
        raise DataError(
            f"{rule!r} is not a rule: give ByWeights(...), Thresholds(...), ReferencePoint(...), Knee(), "
            "Classification(...), MinimumRegret(...) or OneStandardError(...)"
        )
    if uncertainty is not None and (len(uncertainty) != len(front) or uncertainty.objectives != front.objectives):
        raise DataError(
            f"the uncertainty is of another front: it has {len(uncertainty)} points and the objectives "
            f"{', '.join(objective.name for objective in uncertainty.objectives)}, the front has {len(front)} points "
            f"and {', '.join(objective_names(front))}"
        )
    return rule.choose(front, uncertainty)


def choice_of(
    front: Front,
    point: int,
    rule: str,
    uncertainty: FrontUncertainty | None = None,
    probability_fulfilled: float | None = None,
) -> Choice:
    """Point number `point` as a `Choice`: what it gives up, how sure that is, and what lies next to it."""
    values, scaled = minimised_values(front), normalised_front(front)
    lost = values[point] - values.min(axis=0)
    distance = np.linalg.norm(scaled - scaled[point], axis=1)
    others = [int(i) for i in np.argsort(distance, kind="stable") if distance[i] > 0]
    lower, upper = (
        _interval(front, point) if uncertainty is None else (uncertainty.lower[point], uncertainty.upper[point])
    )
    names = objective_names(front)
    return Choice(
        point=front[point],
        rule=rule,
        gives_up=dict(zip(names, lost.tolist(), strict=True)),
        alternatives=tuple(
            _alternative(front, other, values[other] - values[point]) for other in others[:ALTERNATIVES]
        ),
        interval=dict(zip(names, zip(lower.tolist(), upper.tolist(), strict=True), strict=True)),
        level=LEVEL if uncertainty is None else uncertainty.level,
        probability_nondominated=None if uncertainty is None else float(uncertainty.nondominated[point]),
        probability_fulfilled=probability_fulfilled,
    )


def normalised(front: Front, values: np.ndarray) -> np.ndarray:
    """Scores `values [..., M]` (minimised) on the front's scale: 0 is the best and 1 the worst value on the front.

    An objective in which all points of the front agree has no scale and is 0 everywhere.
    """
    own = minimised_values(front)
    width = np.ptp(own, axis=0)
    return np.where(width > 0, (values - own.min(axis=0)) / np.where(width > 0, width, 1.0), 0.0)


def normalised_front(front: Front) -> np.ndarray:
    """`[N, M]`: 0 is the best and 1 the worst value of each objective on the front; 0 where all agree."""
    return normalised(front, minimised_values(front))


def varying(front: Front, values: np.ndarray) -> np.ndarray:
    """Normalised scores `[..., M']` of the objectives in which the points of the front differ."""
    return normalised(front, values)[..., np.ptp(front.values, axis=0) > 0]


def _alternative(front: Front, other: int, change: np.ndarray) -> Alternative:
    changes = dict(zip(objective_names(front), change.tolist(), strict=True))
    return Alternative(
        front[other],
        gains={name: -worse for name, worse in changes.items() if worse < 0},
        loses={name: worse for name, worse in changes.items() if worse > 0},
    )


def _interval(front: Front, point: int) -> tuple[np.ndarray, np.ndarray]:
    """`[M]` each: normal intervals from the standard deviations, within the objectives' bounds."""
    width = NormalDist().inv_cdf((1 + LEVEL) / 2) * front.stdev[point]
    low = [-np.inf if objective.bounds[0] is None else objective.bounds[0] for objective in front.objectives]
    high = [np.inf if objective.bounds[1] is None else objective.bounds[1] for objective in front.objectives]
    return np.maximum(front.values[point] - width, low), np.minimum(front.values[point] + width, high)
