"""Settings of dense posteriors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from paretomerge.curvature.methods.locations import Location, require_damping, require_examples, require_location
from paretomerge.errors import RecipeError


@dataclass(frozen=True)
class FitDense:
    """Full Gauss-Newton matrix over the parameters whose name matches `parameters`; the rest is isotropic.

    Args:
        parameters: regular expression searched in parameter names, for example `"^head"`; memory grows with
            the square of their number.
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
        """As for diagonal posteriors; a regular expression that is one."""
        require_location(self.location, ("finetune", "segment", "average"), self.family)
        require_examples(self.examples)
        require_damping(self.damping)
        try:
            re.compile(self.parameters)
        except re.error as error:
            raise RecipeError(f"parameters={self.parameters!r} is no regular expression: {error}") from error
