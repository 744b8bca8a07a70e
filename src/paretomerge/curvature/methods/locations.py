"""Where curvature is taken."""

from __future__ import annotations

from typing import Literal

from paretomerge.errors import RecipeError

Location = Literal["finetune", "segment", "average", "centred"]


def require_location(location: str, known: tuple[str, ...], family: str) -> None:
    if location not in known:
        raise RecipeError(f"location={location!r} is unknown for {family} posteriors: {', '.join(known)}")
