"""Settings of Kronecker-factored posteriors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from paretomerge.curvature.layers import Labels, Sharing
from paretomerge.curvature.methods.locations import (
    Location,
    require_damping,
    require_examples,
    require_labels,
    require_location,
    require_samples,
)
from paretomerge.errors import RecipeError


@dataclass(frozen=True)
class FitKronecker:
    """Kronecker-factored curvature of linear layers, embeddings and convolutions; the rest is diagonal.

    Args:
        corrected: EKFAC, which measures the eigenvalues in a second pass over the data; K-FAC when not.
        labels: `"true"` (one label per example, sampled from the model), `"ggn"` (all labels, at one pass per output)
            or `"empirical"` (observed labels).
        sharing: how positions that share a weight enter the factors: `"expand"` (each counts as an example) or
            `"reduce"` (summed within each example).
        common_bases: whether all tasks' curvatures are kept in common eigenbases, in which merges are elementwise and
            cost no more than diagonal ones; without, every merge solves a linear system per layer.
        damping: relative, added to every eigenvalue.
        location: as for `FitDiagonal`.
        samples: draws of the task's posterior for `location="posterior"`.
        examples: per task, all when `None`.
    """

    corrected: bool = True
    labels: Labels = "true"
    sharing: Sharing = "expand"
    common_bases: bool = True
    damping: float = 1e-1
    location: Location = "finetune"
    samples: int = 4
    examples: int | None = None

    family: ClassVar[str] = "kronecker"

    def __post_init__(self) -> None:
        """As for diagonal posteriors."""
        require_location(self.location, ("finetune", "segment", "average", "posterior", "centred"), self.family)
        require_labels(self.labels)
        require_samples(self.samples)
        require_examples(self.examples)
        require_damping(self.damping)
        if self.sharing not in ("expand", "reduce"):
            raise RecipeError(f"sharing={self.sharing!r} is unknown: expand or reduce")
