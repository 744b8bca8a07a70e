"""Settings that several families share: where curvature is taken, of which labels and examples, and the damping."""

from __future__ import annotations

import math
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


def require_examples(examples: int | None) -> None:
    if examples is not None and examples < 1:
        raise RecipeError(f"examples counts examples of each task: at least 1, or all when absent; got {examples}")


def require_damping(damping: float) -> None:
    if not 0 <= damping < math.inf:
        raise RecipeError(f"damping must be at least 0, got {damping}: it is relative, 0.1 adds a tenth of the mean")
