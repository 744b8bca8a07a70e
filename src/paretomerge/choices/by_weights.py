"""The point whose task weights are closest to the given ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from paretomerge.choices.choice import Choice, choice_of
from paretomerge.errors import WeightsError
from paretomerge.types import Front, Weights


@dataclass(frozen=True)
class ByWeights:
    """The front point whose weighting is closest (Euclidean) to `weights`.

    The weights are task weights `alpha`, as in joint finetuning; they are no weights on the objectives' values,
    and the values play no part. When every weighting on the front sums to one, so must the given one.

    Args:
        weights: task → weight, one for each task of the front.
    """

    weights: Mapping[str, float] = field(hash=False)

    def __post_init__(self) -> None:
        """Check and copy, so that the rule cannot change."""
        if not isinstance(self.weights, Mapping):
            raise WeightsError(f"weights must be a mapping task → weight, got {self.weights!r}")
        object.__setattr__(self, "weights", dict(self.weights))

    def choose(self, front: Front) -> Choice:
        """The closest point.

        Raises:
            WeightsError: an unknown or missing task, a negative weight, or a sum other than one.
        """
        on_simplex = bool(np.allclose(front.weights.sum(axis=1), 1.0, atol=1e-6))
        wanted = Weights.of(self.weights, front.tasks, on_simplex=on_simplex).values
        distance = np.linalg.norm(front.weights - wanted, axis=1)
        point = int(np.argmin(distance))
        wish = ", ".join(f"{task}={weight:.4g}" for task, weight in zip(front.tasks, wanted, strict=True))
        return choice_of(front, point, f"closest to the task weights {wish} (distance {distance[point]:.3g})")
