"""The point whose task weights are closest to the given ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from paretomerge.choices.choice import Choice, choice_of
from paretomerge.choices.criterion import preferred
from paretomerge.errors import WeightsError
from paretomerge.fronts import FrontUncertainty, minimised_values
from paretomerge.types import Front, Weights


@dataclass(frozen=True)
class ByWeights:
    """The front point whose weighting is closest (Euclidean) to `weights`.

    The weights are task weights `alpha`, as in joint finetuning; they are no weights on the objectives' values,
    and the values play no part but to tell equally close points apart. When every weighting on the front sums to one,
    so must the given one.

    Args:
        weights: task → weight, one for each task of the front.
    """

    weights: Mapping[str, float] = field(hash=False)

    def __post_init__(self) -> None:
        """Check and copy, so that the rule cannot change."""
        if not isinstance(self.weights, Mapping):
            raise WeightsError(f"weights must be a mapping task → weight, got {self.weights!r}")
        object.__setattr__(self, "weights", dict(self.weights))

    def choose(self, front: Front, uncertainty: FrontUncertainty | None = None) -> Choice:
        """The closest point.

        Raises:
            WeightsError: an unknown or missing task, a negative weight, or a sum other than one.
        """
        distance = self.criterion(front, minimised_values(front))
        point = preferred(front, distance)
        return choice_of(front, point, f"{self.wish(front)} (distance {distance[point]:.3g})", uncertainty)

    def wish(self, front: Front) -> str:
        """What it looks for, in words."""
        wanted = zip(front.tasks, self._wanted(front), strict=True)
        return f"closest to the task weights {', '.join(f'{task}={weight:.4g}' for task, weight in wanted)}"

    def criterion(self, front: Front, values: np.ndarray) -> np.ndarray:
        """`[..., K]`, the distance of the weightings, whatever the scores."""
        distance = np.linalg.norm(front.weights - self._wanted(front), axis=1)
        return np.broadcast_to(distance, values.shape[:-1])

    def feasible(self, front: Front, values: np.ndarray) -> None:
        """It demands nothing."""

    def _wanted(self, front: Front) -> np.ndarray:
        on_simplex = bool(np.allclose(front.weights.sum(axis=1), 1.0, atol=1e-6))
        return Weights.of(self.weights, front.tasks, on_simplex=on_simplex).values
