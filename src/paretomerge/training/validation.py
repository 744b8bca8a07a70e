"""Looks at the validation loss on the way: a history, early stopping, and the scales that normalise losses.

Shapes: `T` tasks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge.errors import TrainingError
from paretomerge.training.batches import StepBatch, StepBatches
from paretomerge.training.inputs import take_inputs, take_targets
from paretomerge.training.losses import TaskLoss
from paretomerge.training.placement import Placement
from paretomerge.training.precision import Precision
from paretomerge.training.randomness import untouched_randomness
from paretomerge.training.sharding import call_whole, give_back
from paretomerge.types import Batch, fill, shard_like

SCALE_EXAMPLES = 1000
"""Training examples per task, at most, that say how large a loss is where training starts."""

SCALE_BATCH = 32


@dataclass(frozen=True)
class Check:
    """One look at the validation loss.

    Args:
        step: optimizer steps taken before it.
        losses: task → mean validation loss, as measured.
        loss: what the training minimises, on validation data: `Σ_t α_t / s_t · losses[t]`.
    """

    step: int
    losses: Mapping[str, float]
    loss: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What it takes to measure mean losses of a module on the way: the loss, the precision, the processes."""

    loss: TaskLoss
    placement: Placement
    precision: Precision

    def mean_losses(self, module: nn.Module, batches: Mapping[str, Sequence[Batch]]) -> dict[str, float]:
        """Mean loss per task over all examples, without dropout and without touching what training draws.

        Every process measures its part of the batches; of a sharded model all measure as many, some of them in vain.
        """
        totals = torch.zeros(len(batches), 2, dtype=torch.float64)
        training = module.training
        module.eval()
        with untouched_randomness(self.placement), torch.no_grad():
            for row, (task, parts) in enumerate(batches.items()):
                for batch, is_own in self._own(parts):
                    found = [self._sum(module, task, batch), float(len(batch[1]))]
                    if is_own:
                        totals[row] += torch.tensor(found, dtype=torch.float64)
        module.train(training)
        give_back(module)
        sums, counts = self.placement.sum(totals).unbind(1)
        return dict(zip(batches, (sums / counts).tolist(), strict=True))

    def _own(self, parts: Sequence[Batch]) -> Iterator[tuple[Batch, bool]]:
        """The batches that this process runs, and whether they count."""
        first, step = self.placement.process, self.placement.processes
        for start in range(0, len(parts), step):
            if start + first < len(parts):
                yield parts[start + first], True
            elif self.placement.sharded:
                yield parts[-1], False

    def _sum(self, module: nn.Module, task: str, batch: Batch) -> float:
        moved = StepBatch({task: batch}, {task: 1.0}).to(self.placement.device)
        with self.precision.autocast():
            return float(call_whole(module, lambda: self.loss.weighted(module, moved.examples, moved.shares)))


def start_scales(evaluation: Evaluation, module: nn.Module, batches: StepBatches, seed: int) -> dict[str, float]:
    """Task → its mean training loss at the module's parameters, over at most `SCALE_EXAMPLES` random examples.

    Raises:
        TrainingError: a loss that is not positive, by which nothing can be divided.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen: dict[str, list[Batch]] = {}
    for task, pool in batches.pools.items():
        rows = torch.randperm(len(pool), generator=generator)[:SCALE_EXAMPLES]
        inputs, targets = pool.examples
        chosen[task] = []
        for part in rows.split(SCALE_BATCH):
            taken = take_inputs(inputs, part)
            chosen[task].append((taken, take_targets(targets, part, taken)))
    scales = evaluation.mean_losses(module, chosen)
    for task, scale in scales.items():
        if not (scale > 0 and math.isfinite(scale)):
            raise TrainingError(
                f"the loss of task {task!r} is {scale:g} where training starts, and losses cannot be divided by that: "
                "set normalise to 'none' and choose the weights instead"
            )
    return scales


class EarlyStopping:
    """Remembers the best parameters so far, and says when to stop.

    Args:
        patience: checks in a row without a lower loss; never stops, and remembers nothing, when `None`.
    """

    def __init__(self, patience: int | None) -> None:
        """Nothing seen."""
        self.checks: list[Check] = []
        self.best: Check | None = None
        self._patience = patience
        self._kept: dict[str, Tensor] = {}

    def add(self, check: Check, changing: Mapping[str, Tensor]) -> None:
        """Take note of a check, made at the parameters (and buffers) that training changes."""
        self.checks.append(check)
        if self._patience is None or not check.loss < (math.inf if self.best is None else self.best.loss):
            return
        self.best = check
        with torch.no_grad():
            self._kept = {name: tensor.detach().clone() for name, tensor in changing.items()}

    @property
    def is_over(self) -> bool:
        """Whether patience is at its end."""
        return self._patience is not None and self._in_vain >= self._patience

    def restore_best(self, changing: Mapping[str, Tensor]) -> None:
        """Put the best parameters back, in place, if they are remembered."""
        for name, tensor in self._kept.items():
            fill(changing[name], tensor)

    def told(self, steps: int) -> str:
        """What happened, in words; nothing when all steps were taken."""
        if not self.is_over or self.best is None:
            return ""
        return (
            f"stopped after step {self.checks[-1].step} of {steps}: the weighted validation loss was lowest, "
            f"{self.best.loss:.4g}, after step {self.best.step}, and not lower in the {self._in_vain} checks since; "
            "the parameters are those of the lowest"
        )

    def state(self) -> dict[str, Any]:
        """What `restore` needs."""
        best = None if self.best is None else self.checks.index(self.best)
        return {"checks": [asdict(check) for check in self.checks], "best": best, "kept": dict(self._kept)}

    def restore(self, state: Mapping[str, Any], changing: Mapping[str, Tensor]) -> None:
        """Go on where `state` was taken, with whole tensors, for what training changes."""
        self.checks = [Check(**fields) for fields in state["checks"]]
        self.best = None if state["best"] is None else self.checks[state["best"]]
        self._kept = {name: shard_like(tensor, changing[name]) for name, tensor in state["kept"].items()}

    @property
    def _in_vain(self) -> int:
        """Checks since the best."""
        return len(self.checks) if self.best is None else len(self.checks) - 1 - self.checks.index(self.best)
