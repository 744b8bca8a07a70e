"""How a finetuning is run: one set of settings for single tasks and for joint mixtures alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

from paretomerge.errors import RecipeError


@dataclass(frozen=True)
class TrainingRecipe:
    """AdamW with linear warm-up and decay.

    Args:
        steps: optimizer steps.
        examples_per_task: drawn for each task in each step; a task of weight zero is left out.
        learning_rate: the peak.
        weight_decay: decoupled, towards zero.
        warmup: fraction of the steps with rising learning rate.
        final_rate: learning rate at the end, as a fraction of the peak.
        max_norm: gradient clipping, none when `None`.
    """

    steps: int = 200
    examples_per_task: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup: float = 0.05
    final_rate: float = 0.0
    max_norm: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        if self.steps < 1 or self.examples_per_task < 1:
            raise RecipeError("steps and examples_per_task must be at least 1")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise RecipeError(f"learning_rate must be positive, got {self.learning_rate}")
        if not (0 <= self.warmup <= 1 and 0 <= self.final_rate <= 1):
            raise RecipeError("warmup and final_rate are fractions between 0 and 1")

    def rate(self, step: int) -> float:
        """Learning rate of step `step` (from 0), relative to the peak."""
        rising = max(1, round(self.warmup * self.steps))
        if step < rising:
            return (step + 1) / rising
        done = (step - rising) / max(1, self.steps - rising)
        return 1 + (self.final_rate - 1) * done
