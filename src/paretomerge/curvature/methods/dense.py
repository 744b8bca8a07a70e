"""Settings of dense posteriors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from paretomerge.curvature.methods.locations import Location, require_location


@dataclass(frozen=True)
class FitDense:
    """Full Gauss-Newton matrix over the parameters whose name matches `parameters`; the rest is isotropic.

    Args:
        parameters: regular expression searched in parameter names, for example `"^head"`.
        damping: relative, added to the diagonal.
        location: as for `FitDiagonal`.
        examples: per task, all when `None`.
    """

    parameters: str = ".*"
    damping: float = 1e-2
    location: Location = "finetune"
    examples: int | None = None

    family: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        """As for diagonal posteriors."""
        require_location(self.location, ("finetune", "segment", "average"), self.family)
