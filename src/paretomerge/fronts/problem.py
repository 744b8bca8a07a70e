"""What is traded off, and where: the question that every method of estimating a front answers.

Shapes: `K` points, `D` coordinates of the domain, `T` tasks, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from paretomerge.types import Constraint, Domain, Objective

PredictedLosses = Callable[[np.ndarray], np.ndarray]
"""`points [K, D] → losses [K, T]` as posteriors predict them, at no evaluation."""


@dataclass(frozen=True, eq=False)
class FrontProblem:
    """What is traded off, and where.

    Args:
        domain: where points are searched.
        tasks: the `T` tasks, the columns of `predicted_losses`.
        objectives: everything that is measured, constrained objectives included.
        traded: names of the objectives that span the front; all that are not constrained when empty.
        constraints: limits on measured objectives.
        predicted_losses: what the posteriors say, if there are any.
        points: how many points an estimated front has at most.
    """

    domain: Domain
    tasks: tuple[str, ...]
    objectives: tuple[Objective, ...]
    traded: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    predicted_losses: PredictedLosses | None = None
    points: int = 200

    @property
    def traded_columns(self) -> list[int]:
        """The numbers of the objectives that span the front."""
        limited = {constraint.objective for constraint in self.constraints}
        names = [objective.name for objective in self.objectives]
        wanted = self.traded or tuple(name for name in names if name not in limited) or tuple(names)
        return [names.index(name) for name in wanted]
