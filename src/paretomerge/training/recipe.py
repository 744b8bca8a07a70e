"""How a finetuning is run: one set of settings for single tasks and for joint mixtures alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from paretomerge.errors import RecipeError, nearest
from paretomerge.training.ivon_settings import IvonSettings
from paretomerge.training.lora_settings import LoraSettings

_SECTIONS: dict[str, type] = {"ivon": IvonSettings, "lora": LoraSettings}
"""Settings that are settings of a part of their own."""

_INCIDENTAL = ("accumulate", "save_every", "device")
"""Settings that a result does not depend on, but for rounding."""


@dataclass(frozen=True)
class TrainingRecipe:
    """AdamW or IVON, with linear warm-up and decay.

    Args:
        steps: optimizer steps.
        examples_per_task: drawn for each task in each step; a task of weight zero is left out.
        mix: `"equal"`: that many of every task; `"proportional"`: as many in all as `examples_per_task` of each task
            would be, divided in proportion to the weights, so that every run costs the same; `"sampled"`: as many in
            all, the task of each drawn with probability `α`, and every example counting alike. All three have the
            same mean gradient; the last varies most.
        precision: `"bfloat16"` or `"float16"` runs the forward pass in mixed precision; float16 scales the loss and
            skips steps that overflow.
        learning_rate: the peak of AdamW.
        weight_decay: of AdamW, decoupled, towards zero.
        warmup: fraction of the steps with rising learning rate.
        final_rate: learning rate at the end, as a fraction of the peak.
        max_norm: gradient clipping of AdamW, none when `None`.
        optimizer: `"ivon"` trains a posterior beside the parameters.
        ivon: its settings, among them its own learning rate; the defaults when `None`.
        lora: trains a low-rank adapter instead of the whole model.
        accumulate: passes per step: the step's examples go through the model in that many pieces, and their gradients
            are added. It saves memory, and changes nothing but rounding (and dropout).
        normalise: `"start"` divides the loss of every task by its mean where the training starts, so that `α` weighs
            relative changes; the numbers are in `Finetuned.scales`. They depend on the start: a warm start has others
            than the base.
        save_every: steps from one training checkpoint to the next, where a folder for them is given; a tenth of the
            steps when `None`.
        check_every: steps from one look at the validation loss to the next; never when `None`.
        patience: stop once so many checks in a row found no lower weighted validation loss, and return the parameters
            where it was lowest (the start among them); when `None`, all steps are taken and the last parameters
            returned.
        device: what a single process trains on, such as `"cuda"` or `"cpu"`; `"auto"`: CUDA or the like when there is
            one. Several processes have what their launcher gives them, or the CPU when this says so.
    """

    steps: int = 200
    examples_per_task: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup: float = 0.05
    final_rate: float = 0.0
    max_norm: float | None = None
    mix: Literal["equal", "proportional", "sampled"] = "equal"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    optimizer: Literal["adamw", "ivon"] = "adamw"
    ivon: IvonSettings | None = None
    lora: LoraSettings | None = None
    accumulate: int = 1
    normalise: Literal["none", "start"] = "none"
    save_every: int | None = None
    check_every: int | None = None
    patience: int | None = None
    device: str = "auto"

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> TrainingRecipe:
        """From plain values, as a recipe's file has them.

        Raises:
            RecipeError: an unknown setting, of IVON or of an adapter too, or what the constructor refuses.
        """
        given = dict(settings)
        _require_known("training", cls, given)
        for name, section in _SECTIONS.items():
            if isinstance(given.get(name), Mapping):
                given[name] = _section(name, section, given[name])
        return cls(**given)

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        if self.steps < 1 or self.examples_per_task < 1:
            raise RecipeError("steps and examples_per_task must be at least 1")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise RecipeError(f"learning_rate must be positive, got {self.learning_rate}")
        if not (0 <= self.warmup <= 1 and 0 <= self.final_rate <= 1):
            raise RecipeError("warmup and final_rate are fractions between 0 and 1")
        _require_one_of("mix", self.mix, ("equal", "proportional", "sampled"))
        _require_one_of("precision", self.precision, ("float32", "bfloat16", "float16"))
        _require_one_of("normalise", self.normalise, ("none", "start"))
        if not 0 <= self.weight_decay < math.inf:
            raise RecipeError(f"weight_decay must be at least 0, got {self.weight_decay}")
        if self.max_norm is not None and not self.max_norm > 0:
            raise RecipeError(f"max_norm must be positive, or absent for no clipping, got {self.max_norm}")
        self._require_counts()
        self._require_optimizer()

    def _require_counts(self) -> None:
        """Refuse intervals that are no whole numbers, and patience with checks that never happen."""
        for name in ("accumulate", "save_every", "check_every", "patience"):
            value = getattr(self, name)
            absent = "" if name == "accumulate" else ", or absent"
            if value is None and absent:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise RecipeError(f"{name} must be a whole number of at least 1{absent}, got {value!r}")
        if self.patience is not None and self.check_every is None:
            raise RecipeError("patience counts checks of the validation loss, and there are none: set check_every")
        if not isinstance(self.device, str) or not self.device:
            raise RecipeError(f"device is 'auto' or the name of one, such as 'cuda' or 'cpu', got {self.device!r}")

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
        if self.precision == "float16":
            raise RecipeError(
                "IVON learns curvature from gradients, which float16 would scale and skip: set precision to bfloat16"
            )
        if self.ivon is None:
            object.__setattr__(self, "ivon", IvonSettings())

    @property
    def peak_rate(self) -> float:
        """Highest learning rate of the optimizer in use."""
        return self.learning_rate if self.ivon is None else self.ivon.learning_rate

    def counts(self, weights: Mapping[str, float]) -> dict[str, int]:
        """Examples of each task with positive weight in one step; of a sampled mix about the mean.

        >>> TrainingRecipe(examples_per_task=8, mix="proportional").counts({"a": 0.5, "b": 0.25, "c": 0.25})
        {'a': 12, 'b': 6, 'c': 6}
        """
        total = self.examples_per_task * len(weights)
        share = {task: total * weight for task, weight in weights.items() if weight > 0}
        if self.mix == "equal":
            return dict.fromkeys(share, self.examples_per_task)
        return {task: max(1, round(count)) for task, count in share.items()}

    def batch_size(self, weights: Mapping[str, float]) -> int:
        """Examples in one step."""
        return self.examples_per_task * len(weights) if self.mix == "sampled" else sum(self.counts(weights).values())

    def identity(self) -> dict[str, Any]:
        """The settings on which the result depends, for keys of what is kept: equal ones train the same model.

        What changes rounding, memory or the disk only is left out, and so are newer settings at their defaults: what
        was trained before they existed keeps its key.
        """
        found = asdict(self)
        newer = [field.name for field in fields(self)]
        for name in newer[newer.index("ivon") + 1 :]:
            if name in _INCIDENTAL or getattr(self, name) == getattr(type(self), name):
                del found[name]
        if self.patience is None:
            found.pop("check_every", None)
        return found

    def rate(self, step: int) -> float:
        """Learning rate of step `step` (from 0), relative to the peak."""
        rising = max(1, round(self.warmup * self.steps))
        if step < rising:
            return (step + 1) / rising
        done = (step - rising) / max(1, self.steps - rising)
        return 1 + (self.final_rate - 1) * done


def _require_one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        shown = f"{', '.join(map(repr, known[:-1]))} or {known[-1]!r}"
        raise RecipeError(f"{name} is {shown}, got {value!r}{nearest(value, known)}")


def _section(name: str, section: type, given: Mapping[str, Any]) -> Any:
    _require_known(name, section, given)
    return section(**given)


def _require_known(name: str, section: type, given: Mapping[str, Any]) -> None:
    known = [field.name for field in fields(section)]
    for key in given:
        if key not in known:
            raise RecipeError(
                f"{name} has no setting {key!r}{nearest(key, known)}: its settings are {', '.join(known)}"
            )
