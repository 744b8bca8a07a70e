"""One training in progress: the model, its optimizer and its examples, and what a step does with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from paretomerge.errors import ParetomergeError, TrainingError
from paretomerge.training.batches import StepBatch, StepBatches
from paretomerge.training.losses import TaskLoss
from paretomerge.training.optimizers import samples_of
from paretomerge.training.placement import Placement, share_from_first, sum_gradients
from paretomerge.training.precision import Precision
from paretomerge.training.randomness import random_state, restore_random_state
from paretomerge.training.recipe import TrainingRecipe
from paretomerge.training.sharding import call_whole, divided, give_back
from paretomerge.types import fill

ROOM = "Divide each step (training.accumulate), set precision to bfloat16, or train an adapter (training.lora)"
"""What helps where memory is full."""


@dataclass(frozen=True, eq=False)
class Training:
    """A training in progress, in one process of one or several.

    Args:
        module: on the placement's device, in training mode.
        optimizer: of its trainable parameters.
        batches: draws the same steps in every process.
        loss: of single examples.
        recipe: schedule, accumulation, clipping.
        placement: device and processes.
        precision: of the passes.
        seed: of the whole training.
    """

    module: nn.Module
    optimizer: Optimizer
    batches: StepBatches
    loss: TaskLoss
    recipe: TrainingRecipe
    placement: Placement
    precision: Precision
    seed: int

    def take_step(self, step: int) -> float:
        """Take step number `step`; returns the loss before it, over the examples of all processes.

        Raises:
            TrainingError: the loss became NaN or infinite, or the module, torch or the data refused.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.peak_rate * self.recipe.rate(step)
        give_back(self.module)
        try:
            self.optimizer.zero_grad(set_to_none=True)
            pieces = self._own_part(self.batches.draw())
            losses = [self._differentiate(pieces, sampled, step) for sampled in samples_of(self.optimizer, self.recipe)]
            self.precision.unscale(self.optimizer)
            if self.recipe.max_norm is not None:
                nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.max_norm)
            self.precision.step(self.optimizer)
        except ParetomergeError:
            raise
        except Exception as error:
            kind = "" if isinstance(error, RuntimeError) else f"{type(error).__name__}: "
            full = f". {ROOM}" if isinstance(error, torch.OutOfMemoryError) else ""
            raise TrainingError(f"training broke at step {step} of {self.recipe.steps}: {kind}{error}{full}") from error
        return sum(losses) / len(losses)

    @property
    def changing(self) -> dict[str, Tensor]:
        """What training changes: the parameters that are not frozen, and all buffers."""
        trained = {name: tensor for name, tensor in self.module.named_parameters() if tensor.requires_grad}
        return trained | dict(self.module.named_buffers())

    def share_buffers(self) -> None:
        """Take the buffers (running means, say) of the first process, as each has seen examples of its own."""
        share_from_first(list(self.module.buffers()), self.placement)

    def state(self) -> dict[str, Any]:
        """What `restore` needs, parts of sharded tensors as they are; every process must ask for it."""
        return {
            "module": {name: tensor.detach() for name, tensor in self.changing.items()},
            "optimizer": self.optimizer.state_dict(),
            "batches": self.batches.state(),
            "scales": dict(self.batches.scales),
            "precision": self.precision.state(),
            "random": random_state(self.placement),
        }

    def restore(self, state: Mapping[str, Any], step: int) -> None:
        """Go on where `state` was taken, after `step` steps."""
        changing = self.changing
        for name, tensor in state["module"].items():
            fill(changing[name], tensor)
        self.optimizer.load_state_dict(divided(state["optimizer"], self.optimizer))
        self.batches.restore(state["batches"])
        self.batches.scales = dict(state["scales"])
        self.precision.restore(state["precision"])
        restore_random_state(state["random"], self.seed, step, self.placement)

    def _own_part(self, batch: StepBatch) -> list[StepBatch]:
        """The pieces of a step for this process, one per pass; those without examples are left out.

        Of a sharded model every process has a piece for every pass.
        """
        passes = self.recipe.accumulate
        first = self.placement.process * passes
        if self.placement.sharded:
            pieces = batch.cut_alike(self.placement.processes * passes, by_task=self.loss.loss_fn is not None)
            return pieces[first : first + passes]
        pieces = batch.cut(self.placement.processes * passes)[first : first + passes]
        return [piece for piece in pieces if len(piece)]

    def _loss(self, piece: StepBatch) -> Tensor:
        return self.loss.weighted(self.module, piece.examples, piece.shares)

    def _differentiate(self, pieces: list[StepBatch], sampled: AbstractContextManager[None], step: int) -> float:
        """Leave the gradient of the step's loss in the parameters, the same in every process; returns the loss.

        All passes are inside one context: IVON's noise is the same for all of them, and for all processes.
        """
        with sampled:
            total = torch.zeros((), dtype=torch.float64)
            for piece in pieces:
                moved = piece.to(self.placement.device)
                with self.precision.autocast():
                    loss = call_whole(self.module, partial(self._loss, moved))
                total += loss.detach().to("cpu", torch.float64)
                self.precision.backward(loss)
            value = float(self.placement.sum(total))
            if not math.isfinite(value):
                raise diverged(f"the loss became {value} at step {step} of {self.recipe.steps}", self.recipe)
            if not self.placement.sharded:  # whose backward passes have added them already
                sum_gradients([p for p in self.module.parameters() if p.requires_grad], self.placement)
        return value


def diverged(what: str, recipe: TrainingRecipe) -> TrainingError:
    """The error for a training whose numbers are not finite any more."""
    clip = "clip gradients (max_norm)" if recipe.ivon is None else "raise ivon.hess_init, or clip (ivon.clip_radius)"
    half = ", or set precision to bfloat16 if float16 overflowed" if recipe.precision == "float16" else ""
    return TrainingError(f"training diverged: {what}: lower the learning rate ({recipe.peak_rate:g}) or {clip}{half}")
