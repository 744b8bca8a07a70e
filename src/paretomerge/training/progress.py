"""How far a training is: its losses, its looks at validation data, and the checkpoints it can go on from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from paretomerge.errors import TrainingError
from paretomerge.training.resume import TrainingFolder
from paretomerge.training.sharding import gathered
from paretomerge.training.steps import Training, diverged
from paretomerge.training.validation import Check, EarlyStopping, Evaluation, start_scales
from paretomerge.types import Batch

SAVES = 10
"""Checkpoints of a training whose recipe does not say how often."""


class Progress:
    """A training on its way.

    Args:
        training: at its start.
        alpha: task weights.
        validation: task → validation batches, of tasks with weight; empty where nothing is checked.
        kept: where checkpoints go, if they are kept.
        say: called with what there is to say aloud.
    """

    def __init__(
        self,
        training: Training,
        alpha: Mapping[str, float],
        validation: Mapping[str, Sequence[Batch]],
        kept: TrainingFolder | None,
        say: Callable[[str], None],
    ) -> None:
        """Nothing done."""
        self.training, self.history = training, list[float]()
        self.stopping = EarlyStopping(training.recipe.patience)
        self._evaluation = Evaluation(training.loss, training.placement, training.precision)
        self._alpha, self._validation, self._kept, self._say = alpha, validation, kept, say
        self._started, self._before = time.perf_counter(), 0.0

    def begin(self) -> int:
        """Measure scales and the first validation loss, or go on from a checkpoint; returns the step to take next.

        Raises:
            CheckpointError: the checkpoint is that of another training.
            TrainingError: losses that cannot be normalised, or processes that see different checkpoints.
        """
        state = None if self._kept is None else self._kept.load(mapped=self.training.placement.sharded)
        self._require_agreement(0 if state is None else int(state["step"]))
        if state is not None:
            self._restore(state)
            return len(self.history)
        if self.training.recipe.normalise == "start":
            batches = self.training.batches
            batches.scales = start_scales(self._evaluation, self.training.module, batches, self.training.seed)
            shown = ", ".join(f"{task} {scale:.4g}" for task, scale in batches.scales.items())
            self._say(
                f"the loss of each task is divided by its mean where training starts: {shown} "
                "(task weights weigh relative changes)"
            )
        if self._validation:
            self._check(0)
        return 0

    def advance(self, step: int) -> float:
        """Take a step; returns its loss."""
        self.history.append(self.training.take_step(step))
        return self.history[-1]

    def look(self, step: int) -> bool:
        """After `step` steps: check and save when it is time; returns whether to stop here."""
        recipe = self.training.recipe
        if recipe.check_every and (step % recipe.check_every == 0 or step == recipe.steps):
            self._check(step)
            if self.stopping.is_over and step < recipe.steps:
                self._say(self.stopping.told(recipe.steps))
                return True
        every = recipe.save_every or max(1, recipe.steps // SAVES)
        if self._kept is not None and step % every == 0 and step < recipe.steps:
            self._save()
        return False

    def keep_best(self) -> None:
        """Leave the best parameters in the module; the last ones where nothing was to be stopped."""
        self.training.share_buffers()
        self.stopping.restore_best(self.training.changing)
        if self.training.precision.skipped:
            self._say(f"{self.training.precision.skipped} of {len(self.history)} steps overflowed and were skipped")

    @property
    def kept_steps(self) -> int:
        """Steps that led to the parameters that are kept."""
        return len(self.history) if self.stopping.best is None else self.stopping.best.step

    @property
    def evaluations(self) -> int:
        """How often a model was measured on the way."""
        return len(self.stopping.checks) + (self.training.recipe.normalise == "start")

    @property
    def seconds(self) -> float:
        """Time so far, with that before an interruption."""
        return self._before + time.perf_counter() - self._started

    def _check(self, step: int) -> None:
        """Measure the validation loss."""
        self.training.share_buffers()
        losses = self._evaluation.mean_losses(self.training.module, self._validation)
        scales = self.training.batches.scales
        weighted = sum(self._alpha[task] / scales[task] * value for task, value in losses.items())
        if step == 0 and not math.isfinite(weighted):
            raise diverged(f"the validation loss is {weighted} where training starts", self.training.recipe)
        self.stopping.add(Check(step, losses, weighted), self.training.changing)

    def _save(self) -> None:
        """Write a checkpoint; every process tells its random numbers and its parts, the first one writes."""
        assert self._kept is not None
        self.training.share_buffers()
        state = {
            "step": len(self.history),
            "history": torch.tensor(self.history, dtype=torch.float64),
            "stopping": self.stopping.state(),
            "training": self.training.state(),
            "seconds": self.seconds,
        }
        state = gathered(state, self.training.placement)
        if self.training.placement.process == 0:
            self._kept.save(state)

    def _restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `_save` was called."""
        self.history = state["history"].tolist()
        self.stopping.restore(state["stopping"], self.training.changing)
        self.training.restore(state["training"], len(self.history))
        self._before = state["seconds"]
        self._say(f"goes on after step {len(self.history)} of {self.training.recipe.steps}, from a checkpoint")

    def _require_agreement(self, step: int) -> None:
        """Raise `TrainingError` where processes would start from different steps."""
        placement = self.training.placement
        steps = placement.gather(torch.tensor(step)).tolist()
        if len(set(steps)) > 1:
            raise TrainingError(
                f"the processes see checkpoints of different steps ({', '.join(map(str, steps))}): the folder of "
                "training checkpoints must be one that all machines share"
            )
