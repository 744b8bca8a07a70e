"""Previews held against jointly finetuned models at the same weightings, as a report shows them.

Shapes: `N` verified weightings, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paretomerge.errors import DataError
from paretomerge.types import Objective, Scores


@dataclass(frozen=True, eq=False)
class Intervals:
    """What a truth was expected to be.

    Args:
        mean: `[N, M]`.
        lower, upper: `[N, M]`.
        inside: `[N, M]`, whether the truth was found inside, its own error allowed for.
    """

    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    inside: np.ndarray


@dataclass(frozen=True, eq=False)
class Verified:
    """Previews beside the truth.

    Args:
        previews: measured on merged models, `N` of them.
        truths: measured on jointly finetuned models, at the same weightings and on the same objectives.
        before: the previews' intervals.
        after: each truth as the recalibration predicts it from the others.
        level: of the intervals.
        survivors: numbers of the front's points that the recalibration leaves on the front; `None` when unknown.
        sentences: what follows from them: errors, coverage, which points of the front survive.

    Raises:
        DataError: parts that do not belong to each other.
    """

    previews: Scores
    truths: Scores
    before: Intervals | None = None
    after: Intervals | None = None
    level: float = 0.9
    survivors: Sequence[int] | None = None
    sentences: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check that row by row the two are of one weighting."""
        object.__setattr__(self, "sentences", tuple(self.sentences))
        one, other = self.previews, self.truths
        if one.objectives != other.objectives or one.tasks != other.tasks or one.weights.shape != other.weights.shape:
            raise DataError("previews and truths must have the same tasks, objectives and weightings")
        if not np.allclose(one.weights, other.weights):
            raise DataError("previews and truths are of different weightings: give them in the same order")
        for found in (self.before, self.after):
            for part in () if found is None else (found.mean, found.lower, found.upper, found.inside):
                if part.shape != other.values.shape:
                    raise DataError(f"intervals have shape {list(part.shape)}, expected {list(other.values.shape)}")

    def rows(self, objectives: Sequence[Objective]) -> list[tuple[int, int]]:
        """Pairs of a weighting and a column: every objective of the first weighting, then of the next."""
        names = [objective.name for objective in self.truths.objectives]
        columns = [names.index(objective.name) for objective in objectives if objective.name in names]
        return [(row, column) for row in range(len(self.truths)) for column in columns]
