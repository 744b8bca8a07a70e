"""What a search says of the points it recommends, as plain JSON: held against test scores by `suite.uncertainty`."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suite.methods.searching.measuring import Measuring
from paretomerge.fronts.methods import FrontEstimate
from paretomerge.fronts.uncertainty import probability_nondominated, score_uncertainty

LEVELS = (50, 80, 90, 95)
"""Per cent, of the intervals."""
DRAWS = 1000


def predictions_of(estimate: FrontEstimate, measuring: Measuring, seed: int) -> dict[str, Any]:
    """Means, errors, intervals and probabilities of the front's `N` points, by their `M` objectives.

    Uncertain is the score on all examples there could be: what the surrogate does not know between its scores, and
    what the validation examples leave open. Where points are recommended because they were measured, their scores and
    the errors of these are what is said.

    Returns:
        `"mean" [N, M]`, `"stdev" [N, M]`, `"intervals"` per cent → `[lower [N, M], upper [N, M]]`,
        `"nondominated_probability" [N]` and `"objectives"`; all but mean and objectives are null for a method that says
        nothing about them.
    """
    front = estimate.front
    found: dict[str, Any] = {
        "objectives": [objective.name for objective in front.objectives],
        "mean": front.values.tolist(),
        "stdev": None,
        "intervals": None,
        "nondominated_probability": None,
    }
    if estimate.surrogate is None and "predicted" in front.origin:
        return found
    source = estimate.surrogate or estimate.scores
    scores = estimate.scores if estimate.surrogate is None else estimate.surrogate.scores
    uncertain = score_uncertainty(
        source,
        front.weights,
        objectives=front.objectives,
        draws=DRAWS,
        seed=seed,
        deviations=measuring.deviations(scores, DRAWS, seed),
    )
    intervals = {str(level): np.stack(uncertain.interval(level / 100)).tolist() for level in LEVELS}
    probability = probability_nondominated(uncertain.draws, front.objectives)
    return {
        **found,
        "stdev": uncertain.combined.tolist(),
        "intervals": intervals,
        "nondominated_probability": probability.tolist(),
    }
