"""One point of a front, chosen by a stated rule, with what it gives up.

Every rule is a frozen dataclass of its settings with `choose(front)`. All rules but `ByWeights` look only at
the normalised values `(v - best) / (worst - best)`, best and worst of each objective over the front, so the unit
of an objective changes nothing. Ties go to the point with the lowest number.

Shapes: `N` points, `M` objectives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from paretomerge.errors import DataError, nearest
from paretomerge.fronts import minimised_values, normalised_values
from paretomerge.types import Front, FrontPoint, Objective

ALTERNATIVES = 2


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
    """

    point: FrontPoint
    rule: str
    gives_up: dict[str, float]
    alternatives: tuple[FrontPoint, ...]


@runtime_checkable
class ChoiceRule(Protocol):
    """A preference: from a front to one of its points."""

    def choose(self, front: Front) -> Choice:
        """The point that this rule prefers."""


def choose(front: Front, rule: ChoiceRule) -> Choice:
    """The point of `front` that `rule` prefers: `choose(front, Knee())`.

    Raises:
        DataError: not a rule, or a rule with the name of an objective that the front does not have.
        InfeasibleError: thresholds that no point fulfils.
        WeightsError: task weights that do not fit the front's tasks.
    """
    if isinstance(rule, type) or not isinstance(rule, ChoiceRule):
        raise DataError(f"{rule!r} is not a rule: give ByWeights(...), Thresholds(...), ReferencePoint(...) or Knee()")
    return rule.choose(front)


def choice_of(front: Front, point: int, rule: str) -> Choice:
    """Point number `point` as a `Choice`: what it gives up, and what lies next to it."""
    values = minimised_values(front)
    lost = values[point] - values.min(axis=0)
    distance = np.linalg.norm(normalised_front(front) - normalised_front(front)[point], axis=1)
    others = [int(i) for i in np.argsort(distance, kind="stable") if distance[i] > 0]
    return Choice(
        point=front[point],
        rule=rule,
        gives_up=dict(zip(objective_names(front), lost.tolist(), strict=True)),
        alternatives=tuple(front[i] for i in others[:ALTERNATIVES]),
    )


def normalised_front(front: Front) -> np.ndarray:
    """`[N, M]`: 0 is the best and 1 the worst value of each objective on the front; 0 where all agree."""
    values = minimised_values(front)
    return normalised_values(values, values)


def objective_names(front: Front) -> list[str]:
    """The names of the front's objectives, in order."""
    return [objective.name for objective in front.objectives]


def require_objectives(named: Iterable[str], objectives: Sequence[Objective]) -> None:
    """Raise `DataError` when one of the names is none of the objectives'."""
    known = [objective.name for objective in objectives]
    for name in named:
        if name not in known:
            raise DataError(
                f"unknown objective {name!r}{nearest(name, known)}: the front's objectives are {', '.join(known)}"
            )


def checked_wishes(wishes: Mapping[str, float], what: str) -> dict[str, float]:
    """A copy of objective → value with finite numbers, or `DataError`."""
    if not isinstance(wishes, Mapping) or not wishes:
        raise DataError(f"{what} must be a mapping objective → value with at least one entry, got {wishes!r}")
    checked = {}
    for name, value in wishes.items():
        try:
            checked[name] = float(value)
        except (TypeError, ValueError) as error:
            raise DataError(f"{what}: {name!r} has {value!r}, expected a number") from error
        if not math.isfinite(checked[name]):
            raise DataError(f"{what}: {name!r} has {value}, expected a finite number; leave it out for no wish")
    return checked
