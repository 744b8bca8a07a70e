"""What methods are held against: joint finetunes, the same with other seeds, and the single finetunes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.suite.measures.description import Description
from benchmarks.suite.recording import Recording, recall
from paretomerge.fronts import reference_point
from paretomerge.types import Scores

LOSS, ACCURACY = "loss", "accuracy"


@dataclass(frozen=True, eq=False)
class Truth:
    """One seed's recordings of what was finetuned.

    Args:
        joint: at all weightings.
        corners: the single finetunes.
        repeats: joint finetunes with other seeds, each at the first weightings.
    """

    joint: Recording
    corners: Recording
    repeats: Sequence[Recording]

    def reference(self, metric: str) -> np.ndarray:
        """The reference point of all hypervolumes: the worst of what was finetuned, and a tenth of the range.

        Previews do not move it, or every method's numbers would depend on which others were run; what is worse than
        the finetune of another task adds nothing.
        """
        return reference_point(*(one.scores(metric) for one in (self.joint, self.corners, *self.repeats)))

    def mean(self, metric: str) -> Scores:
        """Mean over the joint grids, at the weightings that all of them have."""
        grids = [self.joint.scores(metric), *(one.scores(metric) for one in self.repeats)]
        rows = min(len(grid) for grid in grids)
        values = np.mean([grid.values[:rows] for grid in grids], axis=0)
        first = grids[0].take(range(rows))
        return Scores(first.tasks, first.weights, values, first.stderr, first.objectives, first.origin)

    def has(self, metric: str) -> bool:
        """Whether it was measured."""
        return any(objective.metric == metric for objective in self.joint.objectives)


def remembered(description: Description, folder: Path) -> Truth:
    """What is recorded of one seed."""
    place = folder / "truth"
    repeats = [place / f"joint-{repeat}" for repeat in range(1, description.repeats)]
    return Truth(
        recall(description, place / "joint"),
        recall(description, place / "corners"),
        [recall(description, one) for one in repeats if one.with_suffix(".json").exists()],
    )
