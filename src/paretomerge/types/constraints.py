"""Limits that a model must respect, on anything that is measured: "tokens <= 300"."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paretomerge.errors import DataError, nearest
from paretomerge.types.objectives import Objective

_PATTERN = re.compile(r"\s*(.+?)\s*(<=|>=)\s*(\S+)\s*")


@dataclass(frozen=True)
class Constraint:
    """`objective <= limit`, or `objective >= limit` with `upper=False`, in the objective's own unit and direction.

    >>> Constraint.parse("tokens <= 300")
    Constraint(objective='tokens', limit=300.0, upper=True)
    """

    objective: str
    limit: float
    upper: bool = True

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """From `"NAME <= NUMBER"` or `"NAME >= NUMBER"`; `DataError` for anything else."""
        found = _PATTERN.fullmatch(text)
        try:
            limit = float(found[3]) if found else math.nan
        except ValueError:
            limit = math.nan
        if found is None or not math.isfinite(limit):
            raise DataError(f"constraint {text!r}: write it as NAME <= NUMBER or NAME >= NUMBER")
        return cls(found[1], limit, found[2] == "<=")

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"{self.objective} {'<=' if self.upper else '>='} {str(float(self.limit)).removesuffix('.0')}"

    def column(self, objectives: Sequence[Objective]) -> int:
        """The number of the constrained objective; `DataError` when there is none of this name."""
        names = [objective.name for objective in objectives]
        if self.objective not in names:
            raise DataError(
                f"constraint {self}: unknown objective {self.objective!r}{nearest(self.objective, names)}; they are "
                f"{', '.join(names)}"
            )
        return names.index(self.objective)

    def slack(self, values: np.ndarray, objectives: Sequence[Objective]) -> np.ndarray:
        """`[..., ]` how far inside the limit `values [..., M]` are; negative where the constraint is violated."""
        column = np.asarray(values, dtype=np.float64)[..., self.column(objectives)]
        return self.limit - column if self.upper else column - self.limit


def are_feasible(values: np.ndarray, objectives: Sequence[Objective], constraints: Sequence[Constraint]) -> np.ndarray:
    """`[...]` booleans: whether `values [..., M]` respect every constraint."""
    feasible = np.ones(np.shape(values)[:-1], dtype=bool)
    for constraint in constraints:
        feasible &= constraint.slack(values, objectives) >= 0
    return feasible
