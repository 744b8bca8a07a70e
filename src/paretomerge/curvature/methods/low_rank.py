"""Settings of low-rank posteriors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from paretomerge.curvature.methods.locations import Location, require_damping, require_examples, require_location
from paretomerge.errors import RecipeError


@dataclass(frozen=True)
class FitLowRank:
    """The leading eigenvectors of the Gauss-Newton matrix, and a diagonal for the rest.

    `H = Σ_r λ_r v_r v_rᵀ + diag(max(0, diag A - Σ_r λ_r v_r²))`: exact along the leading directions, and with the
    measured diagonal everywhere else.

    Args:
        rank: `R`, how many eigenvectors.
        diagonal: how the diagonal of `A` is measured: `"ggn"`, exactly, or `"true"`, by one sampled label per example;
            `"none"` leaves it to the damping.
        damping: relative, added to the diagonal.
        location: as for `FitDiagonal`.
        examples: per task, all when `None`.
    """

    rank: int = 10
    diagonal: Literal["ggn", "true", "none"] = "ggn"
    damping: float = 1e-1
    location: Location = "finetune"
    examples: int | None = None

    family: ClassVar[str] = "low_rank"

    def __post_init__(self) -> None:
        """As for diagonal posteriors; a rank of at least one."""
        require_location(self.location, ("finetune", "segment", "average", "centred"), self.family)
        require_examples(self.examples)
        require_damping(self.damping)
        if self.rank < 1:
            raise RecipeError(f"the rank of a low-rank posterior must be at least 1, got {self.rank}")
        if self.diagonal not in ("ggn", "true", "none"):
            raise RecipeError(f"diagonal={self.diagonal!r} is unknown: ggn, true or none")
