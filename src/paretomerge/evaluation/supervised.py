"""The evaluator every `Problem` has: loss and accuracy of each example of a split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paretomerge.curvature.likelihoods import likelihood_of
from paretomerge.types import Batch, Objective, Params, Problem, Split, call_module, load_in_place


def supervised_objectives(problem: Problem) -> tuple[Objective, ...]:
    """`loss[task]` for every task, then (for classification) `accuracy[task]`."""
    losses = [Objective(f"loss[{task}]", "minimise", "nats", (0.0, None), task, "loss") for task in problem.tasks]
    if problem.likelihood != "categorical":
        return tuple(losses)
    accuracies = [
        Objective(f"accuracy[{task}]", "maximise", "", (0.0, 1.0), task, "accuracy") for task in problem.tasks
    ]
    return (*losses, *accuracies)


@dataclass(frozen=True, eq=False)
class SupervisedEvaluator:
    """`(params, task) → {"loss": [n], "accuracy": [n]}` on one split, or on some of its examples.

    Parameters are written in place into one live module, so nothing is allocated per model.
    """

    problem: Problem
    split: Split = "test"
    _module: nn.Module = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Build the module once."""
        object.__setattr__(self, "_module", self.problem.build().eval())

    def count_examples(self, task: str) -> int:
        """How many examples of a task there are."""
        return sum(len(targets) for _, targets in self.problem.batches(task, self.split))

    def __call__(self, params: Params, task: str, examples: np.ndarray | None = None) -> dict[str, Tensor]:
        """Score one model on one task: on all examples, or on those with the given numbers, in their order."""
        load_in_place(self._module, params)
        found: dict[str, list[Tensor]] = {"loss": []}
        likelihood = likelihood_of(self.problem.likelihood)
        batches = self.problem.batches(task, self.split)
        # Not inference_mode: batches a data function makes lazily here must stay usable for gradients.
        with torch.no_grad():
            for inputs, targets in batches if examples is None else _chosen(batches, np.sort(examples)):
                outputs = call_module(self._module, inputs)
                found["loss"].append(likelihood.losses(outputs, targets))
                if self.problem.likelihood == "categorical":
                    found.setdefault("accuracy", []).append((outputs.argmax(-1) == targets).double())
        scores = {metric: torch.cat(parts) for metric, parts in found.items()}
        if examples is None:
            return scores
        places = torch.from_numpy(np.argsort(np.argsort(examples)))
        return {metric: column[places.to(column.device)] for metric, column in scores.items()}


def _chosen(batches: Iterable[Batch], numbers: np.ndarray) -> Iterator[Batch]:
    """The examples with the given ascending numbers, in the batches they are in; batches without any are skipped."""
    start = 0
    for inputs, targets in batches:
        rows = torch.from_numpy(numbers[(numbers >= start) & (numbers < start + len(targets))] - start)
        start += len(targets)
        if len(rows):
            yield _rows_of(inputs, rows), targets[rows.to(targets.device)]


def _rows_of(inputs: Any, rows: Tensor) -> Any:
    if isinstance(inputs, Mapping):
        return {name: _rows_of(value, rows) for name, value in inputs.items()}
    return inputs[rows.to(inputs.device)] if isinstance(inputs, Tensor) else inputs
