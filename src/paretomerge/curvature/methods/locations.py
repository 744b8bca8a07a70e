"""Settings that several families share: where curvature is taken, and of which labels."""

from __future__ import annotations

from typing import Literal

from paretomerge.errors import RecipeError

Location = Literal["finetune", "segment", "average", "posterior", "centred"]


def require_location(location: str, known: tuple[str, ...], family: str) -> None:
    if location not in known:
        raise RecipeError(f"location={location!r} is unknown for {family} posteriors: {', '.join(known)}")


def require_labels(labels: str) -> None:
    if labels not in ("true", "empirical", "ggn"):
        raise RecipeError(f"labels={labels!r} is unknown: true, ggn or empirical")


def require_samples(samples: int) -> None:
    if samples < 1:
        raise RecipeError(f"samples counts draws of a task's posterior: at least 1, got {samples}")
