"""Settings of diagonal posteriors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from paretomerge.curvature.fisher import FisherLabels
from paretomerge.curvature.methods.locations import Location, require_location


@dataclass(frozen=True)
class FitDiagonal:
    """Diagonal Fisher matrix of each task.

    Args:
        labels: `"true"` (labels sampled from the model) or `"empirical"` (observed labels).
        damping: relative, added to every entry.
        location: `"finetune"`; `"average"`: at the average of the finetunes, where merges land; `"segment"`:
            averaged over three points from the finetune to the average.
        examples: per task, all when `None`.
    """

    labels: FisherLabels = "true"
    damping: float = 1e-1
    location: Location = "finetune"
    examples: int | None = None

    family: ClassVar[str] = "diagonal"

    def __post_init__(self) -> None:
        """A diagonal posterior has a mean, so it has no centred form yet."""
        require_location(self.location, ("finetune", "segment", "average"), self.family)
