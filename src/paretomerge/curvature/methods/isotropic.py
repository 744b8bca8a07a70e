"""Settings of isotropic posteriors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class FitIsotropic:
    """No data needed: every parameter of every task is equally certain. Merging it is averaging."""

    damping: float = 0.0

    family: ClassVar[str] = "isotropic"
