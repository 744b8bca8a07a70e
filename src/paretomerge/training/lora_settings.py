"""What is chosen about a low-rank adapter before it is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from paretomerge.errors import RecipeError

HEADS = ("classifier", "score")
"""Modules of transformers' classifiers that a base model has no trained values for."""


@dataclass(frozen=True)
class LoraSettings:
    """A LoRA adapter: every targeted weight is trained as `W + s·B·A` with `s = alpha / rank`, `W` fixed.

    Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen, 2021, LoRA: Low-Rank Adaptation of Large Language Models; for
    `stabilised` Kalajdzievski, 2023, A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA.

    Args:
        rank: of `B·A`.
        alpha: see above.
        dropout: on the inputs of `A`, in training.
        target_modules: the ends of the names of linear layers (`("q_proj", "v_proj")`); when `None`, or the word
            `all-linear`, all of them but the heads and the output layer.
        modules_to_save: the ends of the names of modules that are trained whole; when `None` the heads of
            transformers' classifiers, `classifier` and `score`, where the model has them.
        stabilised: `s = alpha / √rank`.

    Raises:
        RecipeError: settings outside their domain.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    target_modules: tuple[str, ...] | None = None
    modules_to_save: tuple[str, ...] | None = None
    stabilised: bool = False

    def __post_init__(self) -> None:
        """Check the ranges; lists of names, as YAML has them, become tuples."""
        if not isinstance(self.rank, int) or isinstance(self.rank, bool) or self.rank < 1:
            raise RecipeError(f"lora.rank must be a whole number of at least 1, got {self.rank!r}")
        if not (_is_number(self.alpha) and 0 < self.alpha < math.inf):
            raise RecipeError(f"lora.alpha must be a positive number, got {self.alpha!r}")
        if not (_is_number(self.dropout) and 0 <= self.dropout < 1):
            raise RecipeError(f"lora.dropout must be a number of at least 0 and below 1, got {self.dropout!r}")
        if not isinstance(self.stabilised, bool):
            raise RecipeError(f"lora.stabilised is true or false, got {self.stabilised!r}")
        targets = (
            None if self.target_modules in ("all-linear", ("all-linear",), ["all-linear"]) else self.target_modules
        )
        object.__setattr__(self, "target_modules", _names(targets, "target_modules"))
        object.__setattr__(self, "modules_to_save", _names(self.modules_to_save, "modules_to_save"))
        if self.target_modules == ():
            raise RecipeError("lora.target_modules is empty: name the layers to adapt, or leave it out for all of them")

    @property
    def scale(self) -> float:
        """`s`."""
        return self.alpha / math.sqrt(self.rank) if self.stabilised else self.alpha / self.rank


def _names(given: object, what: str) -> tuple[str, ...] | None:
    if given is None:
        return None
    found = (given,) if isinstance(given, str) else given
    if not isinstance(found, tuple | list) or not all(isinstance(name, str) and name for name in found):
        raise RecipeError(f"lora.{what} is a list of names of modules, got {given!r}")
    return tuple(found)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
