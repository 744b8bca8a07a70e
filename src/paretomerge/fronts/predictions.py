"""What a fitted surrogate predicts, as scores, and checked.

Shapes: `K` points, `D` coordinates, `M` objectives.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from paretomerge.errors import DataError
from paretomerge.types import Objective, Origin, Scores

_BATCH = 4096


@runtime_checkable
class Predictor(Protocol):
    """A fitted surrogate: the score of every objective at every weighting, with its uncertainty."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the `D` coordinates, the order of the columns of `weights`."""

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The `M` objectives, the order of the columns of the prediction."""

    def predict(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean `[K, M]` in the objectives' own directions, and standard deviation `[K, M]`, at `[K, D]`."""


def predicted_scores(surrogate: Predictor, points: np.ndarray) -> Scores:
    """The predictions at `points [K, D]` as `Scores` of origin `"predicted"`, in batches that bound the memory.

    Raises:
        DataError: a surrogate that returns other shapes, or numbers that are not finite.
    """
    batches = [points[start : start + _BATCH] for start in range(0, max(len(points), 1), _BATCH)]
    pairs = [_checked(surrogate, batch) for batch in batches]
    mean, stdev = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    origin: Origin = "predicted"
    return Scores(surrogate.tasks, points, mean, stdev, surrogate.objectives, (origin,) * len(points))


def _checked(surrogate: Predictor, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, stdev = (np.asarray(part, dtype=np.float64) for part in surrogate.predict(points))
    expected = (len(points), len(surrogate.objectives))
    for what, part in (("means", mean), ("standard deviations", stdev)):
        if part.shape != expected or not np.isfinite(part).all():
            raise DataError(
                f"the surrogate {type(surrogate).__name__} returned {what} of shape {list(part.shape)} "
                f"({int((~np.isfinite(part)).sum())} not finite), expected {list(expected)} finite numbers"
            )
    return mean, stdev
