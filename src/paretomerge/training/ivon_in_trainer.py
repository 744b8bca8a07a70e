"""IVON in the Trainer of Hugging Face: one subclass, which takes every pass at sampled parameters."""

from __future__ import annotations

from typing import Any

from paretomerge.errors import MissingExtraError, RecipeError
from paretomerge.training.ivon import Ivon


def ivon_trainer(trainer_class: type | None = None) -> type:
    """A subclass of `trainer_class` (transformers' `Trainer`, or one derived from it) that trains with `Ivon`:

        optimizer = Ivon(model.named_parameters(), lr=0.1, ess=len(training_set))
        arguments = TrainingArguments(..., max_grad_norm=0)
        trainer = ivon_trainer()(model, arguments, optimizers=(optimizer, None), train_dataset=training_set)

    Every part of a step of gradient accumulation has a draw of its own; evaluation and checkpoints see the mean.
    Where the learning rate is scheduled, `lr` is its peak. To do the same by hand, override `training_step`:

        def training_step(self, *arguments, **options):
            with optimizer.sampled_params(share=1.0):
                return super().training_step(*arguments, **options)

    Raises:
        MissingExtraError: transformers is not installed.
        RecipeError: on training, the optimizer is not `Ivon`, gradients are clipped (`max_grad_norm`), losses are
            scaled (`fp16`), or gradients of several processes are accumulated before they are averaged.
    """
    if trainer_class is None:
        try:
            from transformers import Trainer
        except ImportError as error:
            raise MissingExtraError.of("transformers", "hf") from error
        trainer_class = Trainer
    base: Any = trainer_class

    class IvonTrainer(base):
        """Takes every training pass at sampled parameters."""

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
            """As the Trainer's own; its loss is divided for gradient accumulation already."""
            with _require_ivon(self).sampled_params(share=1.0):
                return super().training_step(model, inputs, num_items_in_batch)

    return IvonTrainer


def _require_ivon(trainer: Any) -> Ivon:
    """The trainer's optimizer, in settings that it can work with."""
    optimizer, arguments = trainer.optimizer, trainer.args
    while not isinstance(optimizer, Ivon) and hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    if not isinstance(optimizer, Ivon):
        raise RecipeError(
            f"the trainer's optimizer is {type(optimizer).__name__}: give it "
            "optimizers=(Ivon(model.named_parameters(), ...), None)"
        )
    if arguments.max_grad_norm:
        raise RecipeError(
            f"max_grad_norm={arguments.max_grad_norm} would have no effect, and clipped gradients would bias the "
            "curvature: set max_grad_norm=0, and clip_radius of Ivon if need be"
        )
    if arguments.fp16:
        raise RecipeError("fp16 scales the loss, and with it the curvature: use bf16, or float32")
    if arguments.world_size > 1 and arguments.gradient_accumulation_steps > 1:
        raise RecipeError(
            "gradients are accumulated in each process before they are averaged, but IVON needs the average of every "
            "pass: set gradient_accumulation_steps=1, or train in one process"
        )
    return optimizer
