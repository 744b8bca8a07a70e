"""Joint draws of a front's scores, as rules that know of uncertainty want them.

Shapes: `S` draws, `K` points, `M` objectives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paretomerge.choices.criterion import CriterionRule
from paretomerge.fronts import FrontUncertainty
from paretomerge.types import Front, to_minimised

DRAWS = 200


@dataclass(frozen=True, eq=False)
class ScoreDraws:
    """Scores that the points may turn out to have.

    Attributes:
        values: `[S, K, M]`, minimised.
        joint: whether they keep what points share. If not, differences between neighbouring points look less certain
            than they are.
    """

    values: np.ndarray
    joint: bool

    @property
    def described(self) -> str:
        """How many there are, and of which kind."""
        kind = "joint draws" if self.joint else "independent normal draws (joint ones are not known)"
        return f"{len(self.values)} {kind}"


def score_draws(front: Front, uncertainty: FrontUncertainty | None) -> ScoreDraws:
    """The uncertainty's own draws; without any, independent normals from the front's standard deviations.

    The latter are always the same ones, and within the objectives' bounds.
    """
    if uncertainty is not None and uncertainty.samples is not None:
        return ScoreDraws(to_minimised(uncertainty.samples, front.objectives), joint=True)
    noise = np.random.default_rng(0).standard_normal((DRAWS, *front.values.shape))
    low = [-np.inf if objective.bounds[0] is None else objective.bounds[0] for objective in front.objectives]
    high = [np.inf if objective.bounds[1] is None else objective.bounds[1] for objective in front.objectives]
    return ScoreDraws(
        to_minimised(np.clip(front.values + noise * front.stdev, low, high), front.objectives), joint=False
    )


def probability_fulfilled(rule: CriterionRule, front: Front, point: int, draws: ScoreDraws) -> float | None:
    """The share of draws in which the point fulfils what the rule demands; `None` if that is nothing."""
    feasible = rule.feasible(front, draws.values)
    return None if feasible is None else float(feasible[:, point].mean())
