"""The examples of every step of a joint finetuning, and their division among processes and accumulated passes.

All processes draw the same step and take their own part of it, so that what is trained does not depend on their
number. Tasks come one after the other in a step, and pieces are cut from that row: a piece may lack a task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from paretomerge.training.examples import ExamplePool
from paretomerge.training.inputs import take_inputs, take_targets
from paretomerge.training.recipe import TrainingRecipe
from paretomerge.types import Batch, Problem


@dataclass(frozen=True, eq=False)
class StepBatch:
    """Some examples of a step.

    Args:
        examples: task → its examples; a task without any is left out.
        shares: task → what the loss of each of its examples counts for in the step's loss.
    """

    examples: Mapping[str, Batch]
    shares: Mapping[str, float]

    def __len__(self) -> int:
        """Number of examples."""
        return sum(len(targets) for _, targets in self.examples.values())

    def cut(self, pieces: int) -> list[StepBatch]:
        """Divide into pieces whose sizes differ by at most one; some are empty when there are more than examples."""
        if pieces == 1:
            return [self]
        edges = [len(self) * piece // pieces for piece in range(pieces + 1)]
        return [self._between(low, high) for low, high in pairwise(edges)]

    def cut_alike(self, pieces: int, *, by_task: bool) -> list[StepBatch]:
        """Divide into pieces on which a sharded model is called alike, because its processes gather it together.

        Args:
            pieces: how many.
            by_task: whether every piece has examples of every task, for losses that call the model once per task.

        Where there are too few, an example of another piece is taken once more, and counts for nothing.
        """
        if not by_task:
            return [piece if len(piece) else self._idle(next(iter(self.examples))) for piece in self.cut(pieces)]
        found = []
        for number in range(pieces):
            examples, shares = dict[str, Batch](), dict[str, float]()
            for task, batch in self.examples.items():
                own = StepBatch({task: batch}, self.shares).cut(pieces)[number]
                part = own if len(own) else self._idle(task)
                examples[task], shares[task] = part.examples[task], part.shares[task]
            found.append(StepBatch(examples, shares))
        return found

    def to(self, device: torch.device) -> StepBatch:
        """On a device."""
        return StepBatch({task: _moved(batch, device) for task, batch in self.examples.items()}, self.shares)

    def _idle(self, task: str) -> StepBatch:
        """The first example of a task, which counts for nothing."""
        inputs, targets = self.examples[task]
        row = torch.zeros(1, dtype=torch.int64)
        taken = take_inputs(inputs, row)
        return StepBatch({task: (taken, take_targets(targets, row, taken))}, {task: 0.0})

    def _between(self, low: int, high: int) -> StepBatch:
        found: dict[str, Batch] = {}
        start = 0
        for task, (inputs, targets) in self.examples.items():
            first, last = max(low - start, 0), min(high - start, len(targets))
            start += len(targets)
            if first < last:
                rows = torch.arange(first, last)
                taken = take_inputs(inputs, rows)
                found[task] = taken, take_targets(targets, rows, taken)
        return StepBatch(found, self.shares)


class StepBatches:
    """Draws the examples of one step after the other, from every task with positive weight.

    Law (tested): the expectation of `Σ share · ∇loss` over what is drawn is `Σ_t α_t / s_t · mean gradient of task t`.

    Args:
        problem: its training split is read.
        alpha: task weights.
        recipe: how many examples, in which mix.
        seed: of the order.
        scales: task → `s_t`, by which its loss is divided; may be set later.

    Raises:
        DataError: a task with weight has no training examples, or they do not fit together.
    """

    def __init__(self, problem: Problem, alpha: Mapping[str, float], recipe: TrainingRecipe, seed: int) -> None:
        """Read the examples."""
        self.pools = {
            task: ExamplePool(problem.batches(task, "training"), seed * 1009 + number)
            for number, task in enumerate(problem.tasks)
            if alpha[task] > 0
        }
        self.scales = dict.fromkeys(self.pools, 1.0)
        self._alpha, self._recipe = dict(alpha), recipe
        self._sampler = torch.Generator().manual_seed(seed * 1009 + len(problem.tasks))

    def draw(self) -> StepBatch:
        """The examples of the next step."""
        counts = self._counts()
        examples = {task: pool.draw(counts[task]) for task, pool in self.pools.items() if counts[task]}
        return StepBatch(examples, {task: self._share(task, counts[task]) for task in examples})

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on with the same examples."""
        return {"pools": {task: pool.state() for task, pool in self.pools.items()}, "tasks": self._sampler.get_state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        for task, pool in self.pools.items():
            pool.restore(state["pools"][task])
        self._sampler.set_state(state["tasks"])

    def _counts(self) -> dict[str, int]:
        """Examples of every task in this step."""
        if self._recipe.mix != "sampled":
            return self._recipe.counts(self._alpha)
        chances = torch.tensor([self._alpha[task] for task in self.pools], dtype=torch.float64)
        drawn = torch.multinomial(
            chances, self._recipe.batch_size(self._alpha), replacement=True, generator=self._sampler
        )
        return dict(zip(self.pools, torch.bincount(drawn, minlength=len(chances)).tolist(), strict=True))

    def _share(self, task: str, count: int) -> float:
        """Of a sampled mix `1/N`, since how often a task is drawn has `α` in it already; else `α_t / n_t`."""
        if self._recipe.mix == "sampled":
            return 1 / (self._recipe.batch_size(self._alpha) * self.scales[task])
        return self._alpha[task] / self.scales[task] / count


def _moved(batch: Batch, device: torch.device) -> Batch:
    inputs, targets = batch
    if isinstance(inputs, Mapping):
        return {name: _on(value, device) for name, value in inputs.items()}, targets.to(device)
    return _on(inputs, device), targets.to(device)


def _on(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value
