"""The front of joint finetuning: the front of merged models, corrected by what a few trained weightings have shown.

Every point keeps its weights; its values move to where a joint finetuning with these weights is expected to end. Points
that others dominate then are dropped, the others survive.

Shapes: `K` points, `M` objectives, `S` draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paretomerge.fronts.dominance import is_nondominated
from paretomerge.fronts.uncertainty.attainment import attainment_surfaces
from paretomerge.fronts.uncertainty.front import FrontUncertainty
from paretomerge.fronts.uncertainty.nondominated import probability_nondominated
from paretomerge.fronts.uncertainty.parts import quantiles
from paretomerge.fronts.uncertainty.volume import hypervolume_interval
from paretomerge.surrogates import FittedDiscrepancy
from paretomerge.types import Front, Origin


@dataclass(frozen=True, eq=False)
class RecalibratedFront:
    """What is left of a front, as one of joint finetuning.

    Attributes:
        front: the points that survive, with the scores that a joint finetuning is expected to have there.
        survivors: `[K']`, their numbers on the front of merged models, in the same order.
        moved: `[K, M]`, by how much every point of that front moved, in the objectives' own directions.
        uncertainty: of the surviving points: of their previews, of the discrepancy, and of trainings.
    """

    front: Front
    survivors: np.ndarray
    moved: np.ndarray
    uncertainty: FrontUncertainty


def recalibrated_front(
    front: Front,
    discrepancy: FittedDiscrepancy,
    uncertainty: FrontUncertainty | None = None,
    *,
    draws: int = 200,
    seed: int = 0,
    level: float = 0.9,
) -> RecalibratedFront:
    """Move every point of a front by the discrepancy, and drop the points that are dominated then.

    Args:
        front: of merged models, over task weights.
        discrepancy: fitted to what was trained, for the front's objectives among others.
        uncertainty: of the front: how its points' previews err together; independent normal errors with the front's
            standard deviations where it is not given or holds no draws.
        draws: `S`, where the uncertainty holds none.
        seed: of the draws.
        level: of the intervals.

    Raises:
        DataError: an objective of which no truth was measured.
    """
    chosen = discrepancy.select(front.objectives)
    spread = front.stdev if uncertainty is None else uncertainty.combined
    values, stdev = chosen.predict(front.weights, front.values, spread)
    survivors = np.flatnonzero(is_nondominated(values, front.objectives, keep_weakly=True))
    origin: Origin = "predicted"
    kept = Front(
        front.tasks,
        front.weights[survivors],
        values[survivors],
        stdev[survivors],
        front.objectives,
        front.reference,
        (origin,) * len(survivors),
    )
    rng = np.random.default_rng(seed)
    previews = _previews(front, uncertainty, draws, rng)[:, survivors]
    samples = chosen.sample(kept.weights, previews, rng)
    passed = chosen.predict(kept.weights, front.values[survivors])[1]
    parts = {"preview": np.sqrt(np.maximum(stdev[survivors] ** 2 - passed**2, 0.0)), "discrepancy": passed}
    return RecalibratedFront(kept, survivors, values - front.values, _uncertainty(kept, samples, parts, level))


def _previews(front: Front, uncertainty: FrontUncertainty | None, draws: int, rng: np.random.Generator) -> np.ndarray:
    """`[S, K, M]` draws of the scores of the merged models."""
    if uncertainty is not None and uncertainty.samples is not None:
        return np.asarray(uncertainty.samples, dtype=np.float64)
    return front.values + front.stdev * rng.standard_normal((draws, *front.values.shape))


def _uncertainty(front: Front, samples: np.ndarray, parts: dict[str, np.ndarray], level: float) -> FrontUncertainty:
    lower, upper = quantiles(samples, level)
    return FrontUncertainty(
        objectives=front.objectives,
        level=level,
        parts=parts,
        combined=front.stdev,
        lower=lower,
        upper=upper,
        nondominated=probability_nondominated(samples, front.objectives),
        feasible=np.ones(len(front)),
        hypervolume=hypervolume_interval(samples, front.objectives, front.reference, level),
        attainment=attainment_surfaces(samples, front.objectives, front.reference),
        draws=len(samples),
        samples=samples.astype(np.float32),
    )
