"""The point that will be regretted least when the scores turn out differently than estimated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from paretomerge.choices.choice import Choice, choice_of, varying
from paretomerge.choices.criterion import CriterionRule, checked_rule, eligible, preferred
from paretomerge.choices.draws import probability_fulfilled, score_draws
from paretomerge.errors import DataError
from paretomerge.fronts import FrontUncertainty
from paretomerge.types import Front


@dataclass(frozen=True)
class MinimumRegret:
    """The point with the smallest risk of regret over joint draws of the front's scores.

    The regret of a point in a draw is how much larger its criterion is than the smallest one in that draw:

        regret_k = s(v_k) - min_j s(v_j)

    with `s` the criterion of another rule. Without one it is the regret under the preference that is worst for this
    point: the maximum, over all weightings `w` on the simplex of normalised objectives, of the Chebyshev criterion's
    regret. That maximum is always reached where one objective counts alone (elsewhere `max_m w_m v_m` is smaller, and
    what is subtracted is not negative), so it is exactly

        regret_k = max_m (v_km - min_j v_jm) / r_m

    with `r` the range of each objective over the front (Savage, 1951, The theory of statistical decision; Wald, 1950,
    Statistical decision functions). A wrapped rule's demands are not loosened: only points that fulfil them by the
    front's own values are chosen, and regret is counted against those.

    Where scores are certain, it is the wrapped rule's own choice.

    Args:
        of: the rule whose criterion counts; all preferences when not given.
        risk: what is made small over the draws: `"mean"`, or a quantile between 0 and 1 (0.9: the regret that is
            exceeded in one case of ten).
    """

    of: CriterionRule | None = None
    risk: Literal["mean"] | float = "mean"

    def __post_init__(self) -> None:
        """Check."""
        if self.of is not None:
            checked_rule(self.of, "MinimumRegret")
        number = isinstance(self.risk, int | float) and not isinstance(self.risk, bool)
        if self.risk != "mean" and not (number and 0 < float(self.risk) < 1):
            raise DataError(f"risk is {self.risk!r}, expected 'mean' or a quantile between 0 and 1, such as 0.9")

    def choose(self, front: Front, uncertainty: FrontUncertainty | None = None) -> Choice:
        """The point with the smallest risk; of equal ones, the one that the wrapped rule prefers.

        Raises:
            InfeasibleError: no point fulfils what the wrapped rule demands.
        """
        alone = None if self.of is None else self.of.choose(front, uncertainty)
        draws = score_draws(front, uncertainty)
        among = np.ones(len(front), dtype=bool) if self.of is None else eligible(self.of, front)
        risk = self._risk(regret(front, draws.values, self.of, among))
        point = preferred(front, risk, among)
        name = "mean regret" if self.risk == "mean" else f"{self.risk:g} quantile of regret"
        words = f"smallest {name} over {draws.described}"
        if alone is None or self.of is None:
            words += f" under the worst preference, {risk[point]:.3g} of an objective's range"
            return choice_of(front, point, words, uncertainty)
        words += f", {risk[point]:.3g}"
        if alone.point.id != point:
            words += f" (of point {alone.point.id}, the best by the estimates, {risk[alone.point.id]:.3g})"
        holds = probability_fulfilled(self.of, front, point, draws)
        return choice_of(front, point, f"{words}: {self.of.wish(front)}", uncertainty, holds)

    def _risk(self, regrets: np.ndarray) -> np.ndarray:
        """`[K]` from regrets `[S, K]`."""
        return regrets.mean(axis=0) if self.risk == "mean" else np.quantile(regrets, float(self.risk), axis=0)


def regret(front: Front, values: np.ndarray, of: CriterionRule | None, among: np.ndarray) -> np.ndarray:
    """`[S, K]`: regret in every draw `values [S, K, M]` (minimised), against the points `among [K]`."""
    if of is not None:
        criterion = of.criterion(front, values)
        return criterion - criterion[:, among].min(axis=1, keepdims=True)
    scaled = varying(front, values)
    scaled = scaled - scaled[:, among].min(axis=1, keepdims=True)
    return scaled.max(axis=2) if scaled.shape[2] else np.zeros(values.shape[:-1])
