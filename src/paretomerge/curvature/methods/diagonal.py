"""Settings of diagonal posteriors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from paretomerge.curvature.layers import Labels
from paretomerge.curvature.methods.locations import (
    Location,
    require_damping,
    require_examples,
    require_labels,
    require_location,
    require_samples,
)


@dataclass(frozen=True)
class FitDiagonal:
    """Diagonal Fisher or Gauss-Newton matrix of each task.

    Args:
        labels: `"true"` (one label per example, sampled from the model), `"ggn"` (all labels, exactly, at one pass per
            output) or `"empirical"` (observed labels).
        damping: relative, added to every entry.
        location: `"finetune"`; `"average"`: at the average of the finetunes, where merges land; `"segment"`:
            averaged over three points from the finetune to the average; `"posterior"`: averaged over draws from the
            task's own posterior `N(m, (N (H + λ))^-1)`, with `H` measured at the finetune and `N` the examples;
            `"centred"`: at the average with the gradient there, and a prior that pulls to the finetune.
        samples: draws of the task's posterior for `location="posterior"`.
        examples: per task, all when `None`.
    """

    labels: Labels = "true"
    damping: float = 1e-1
    location: Location = "finetune"
    examples: int | None = None
    samples: int = 4

    family: ClassVar[str] = "diagonal"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        require_location(self.location, ("finetune", "segment", "average", "posterior", "centred"), self.family)
        require_labels(self.labels)
        require_samples(self.samples)
        require_examples(self.examples)
        require_damping(self.damping)
