"""Rules whose wish is one number per point, so that rules which know of uncertainty can wrap any of them.

The number is a function of the scores, not of their estimates: it can be asked for in every draw of uncertain scores.
Its scale is that of the front's own values, in every draw the same: the preference is fixed, only the scores are not
known. For the same reason a rule's own choice and the wrapped one agree where nothing is uncertain.

Shapes: `S` draws, `K` points, `M` objectives.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from paretomerge.choices.choice import Choice, normalised_front
from paretomerge.errors import DataError
from paretomerge.fronts import FrontUncertainty, minimised_values
from paretomerge.types import Front


@runtime_checkable
class CriterionRule(Protocol):
    """A rule that prefers the feasible point with the smallest criterion.

    `rule.choose(front).point.id == preferred(front, rule.criterion(front, v), rule.feasible(front, v))` with
    `v = minimised_values(front)`.
    """

    def choose(self, front: Front, uncertainty: FrontUncertainty | None = None) -> Choice:
        """The point that this rule prefers."""

    def wish(self, front: Front) -> str:
        """What it looks for, in words."""

    def criterion(self, front: Front, values: np.ndarray) -> np.ndarray:
        """`[..., K]` for scores `values [..., K, M]` (minimised): smaller is better, in a unit without dimension."""

    def feasible(self, front: Front, values: np.ndarray) -> np.ndarray | None:
        """`[..., K]`: whether a point fulfils what the rule demands; `None` for a rule that demands nothing."""


SAME = 1e-12
"""Numbers that differ by less are equal: on a symmetric front rounding must not decide."""


def preferred(front: Front, criterion: np.ndarray, among: np.ndarray | None = None) -> int:
    """The point with the smallest `criterion [K]`, of those `among [K]`.

    Equal ones are told apart by the sum of the normalised objectives, then by their number.
    """
    rows = np.arange(len(front)) if among is None else np.flatnonzero(among)
    for key in (criterion, normalised_front(front).sum(axis=1)):
        rows = rows[key[rows] <= key[rows].min() + SAME]
    return int(rows[0])


def eligible(rule: CriterionRule, front: Front) -> np.ndarray:
    """`[K]`: which points fulfil the rule's demands by the front's own values."""
    found = rule.feasible(front, minimised_values(front))
    return np.ones(len(front), dtype=bool) if found is None else found


def checked_rule(rule: Any, wrapper: str) -> CriterionRule:
    """`rule`, or `DataError` when it is not one that can be wrapped."""
    if isinstance(rule, type) or not isinstance(rule, CriterionRule):
        raise DataError(
            f"{wrapper} cannot wrap {rule!r}: give a rule with a criterion, such as Knee() or Thresholds(...)"
        )
    return rule
