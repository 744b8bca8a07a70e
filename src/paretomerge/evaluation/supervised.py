"""The evaluator every `Problem` has: loss and accuracy of each example of a split."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from paretomerge.curvature.likelihoods import likelihood_of
from paretomerge.types import Objective, Params, Problem, Split, call_module, load_in_place


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
    """`(params, task) → {"loss": [n], "accuracy": [n]}` on one split.

    Parameters are written in place into one live module, so nothing is allocated per model.
    """

    problem: Problem
    split: Split = "test"
    _module: nn.Module = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Build the module once."""
        object.__setattr__(self, "_module", self.problem.build().eval())

    def __call__(self, params: Params, task: str) -> dict[str, Tensor]:
        """Score one model on one task."""
        load_in_place(self._module, params)
        found: dict[str, list[Tensor]] = {"loss": []}
        likelihood = likelihood_of(self.problem.likelihood)
        # Not inference_mode: batches a data function makes lazily here must stay usable for gradients.
        with torch.no_grad():
            for inputs, targets in self.problem.batches(task, self.split):
                outputs = call_module(self._module, inputs)
                found["loss"].append(likelihood.losses(outputs, targets))
                if self.problem.likelihood == "categorical":
                    found.setdefault("accuracy", []).append((outputs.argmax(-1) == targets).double())
        return {metric: torch.cat(parts) for metric, parts in found.items()}
