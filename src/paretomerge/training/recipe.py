"""How a finetuning is run: one set of settings for single tasks and for joint mixtures alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from paretomerge.errors import RecipeError, nearest
from paretomerge.training.ivon_settings import IvonSettings


@dataclass(frozen=True)
class TrainingRecipe:
    """AdamW or IVON, with linear warm-up and decay.

    Args:
        steps: optimizer steps.
        examples_per_task: drawn for each task in each step; a task of weight zero is left out.
        mix: `"equal"`: that many of every task; `"proportional"`: as many in all as `examples_per_task` of each task
            would be, divided in proportion to the weights, so that every run costs the same. Both have the same mean
            gradient.
        precision: `"bfloat16"` runs the forward pass in mixed precision.
        learning_rate: the peak of AdamW.
        weight_decay: of AdamW, decoupled, towards zero.
        warmup: fraction of the steps with rising learning rate.
        final_rate: learning rate at the end, as a fraction of the peak.
        max_norm: gradient clipping of AdamW, none when `None`.
        optimizer: `"ivon"` trains a posterior beside the parameters.
        ivon: its settings, among them its own learning rate; the defaults when `None`.
    """

    steps: int = 200
    examples_per_task: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup: float = 0.05
    final_rate: float = 0.0
    max_norm: float | None = None
    mix: Literal["equal", "proportional"] = "equal"
    precision: Literal["float32", "bfloat16"] = "float32"
    optimizer: Literal["adamw", "ivon"] = "adamw"
    ivon: IvonSettings | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> TrainingRecipe:
        """From plain values, as a recipe's file has them.

        Raises:
            RecipeError: an unknown setting of IVON, or what the constructor refuses.
        """
        given = dict(settings)
        if isinstance(given.get("ivon"), Mapping):
            known = [field.name for field in fields(IvonSettings)]
            for key in given["ivon"]:
                if key not in known:
                    raise RecipeError(
                        f"ivon has no setting {key!r}{nearest(key, known)}: its settings are {', '.join(known)}"
                    )
            given["ivon"] = IvonSettings(**given["ivon"])
        return cls(**given)

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        if self.steps < 1 or self.examples_per_task < 1:
            raise RecipeError("steps and examples_per_task must be at least 1")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise RecipeError(f"learning_rate must be positive, got {self.learning_rate}")
        if not (0 <= self.warmup <= 1 and 0 <= self.final_rate <= 1):
            raise RecipeError("warmup and final_rate are fractions between 0 and 1")
        if self.mix not in ("equal", "proportional") or self.precision not in ("float32", "bfloat16"):
            raise RecipeError(
                f"mix is 'equal' or 'proportional', precision 'float32' or 'bfloat16'; got {self.mix!r}, "
                f"{self.precision!r}"
            )
        if not 0 <= self.weight_decay < math.inf:
            raise RecipeError(f"weight_decay must be at least 0, got {self.weight_decay}")
        if self.max_norm is not None and not self.max_norm > 0:
            raise RecipeError(f"max_norm must be positive, or absent for no clipping, got {self.max_norm}")
        self._require_optimizer()

    def _require_optimizer(self) -> None:
        """Refuse settings that the optimizer would ignore."""
        if self.optimizer not in ("adamw", "ivon"):
            raise RecipeError(f"optimizer is 'adamw' or 'ivon', got {self.optimizer!r}")
        if self.optimizer == "adamw":
            if self.ivon is not None:
                raise RecipeError("settings of IVON are given, but the optimizer is adamw: set optimizer='ivon'")
            return
        if self.weight_decay != 0 or self.max_norm is not None:
            raise RecipeError(
                "weight_decay and max_norm are AdamW's: IVON has ivon.weight_decay, the strength of its prior, and "
                "ivon.clip_radius (clipped gradients would bias its curvature)"
            )
        if self.ivon is None:
            object.__setattr__(self, "ivon", IvonSettings())

    @property
    def peak_rate(self) -> float:
        """Highest learning rate of the optimizer in use."""
        return self.learning_rate if self.ivon is None else self.ivon.learning_rate

    def counts(self, weights: Mapping[str, float]) -> dict[str, int]:
        """Examples of each task with positive weight in one step.

        >>> TrainingRecipe(examples_per_task=8, mix="proportional").counts({"a": 0.5, "b": 0.25, "c": 0.25})
        {'a': 12, 'b': 6, 'c': 6}
        """
        total = self.examples_per_task * len(weights)
        share = {task: total * weight for task, weight in weights.items() if weight > 0}
        if self.mix == "equal":
            return dict.fromkeys(share, self.examples_per_task)
        return {task: max(1, round(count)) for task, count in share.items()}

    def rate(self, step: int) -> float:
        """Learning rate of step `step` (from 0), relative to the peak."""
        rising = max(1, round(self.warmup * self.steps))
        if step < rising:
            return (step + 1) / rising
        done = (step - rising) / max(1, self.steps - rising)
        return 1 + (self.final_rate - 1) * done
