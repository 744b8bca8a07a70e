"""The evaluator every `Problem` has: loss and accuracy of each example of a split.

A problem with a loss of its own is measured by it alone. Shapes: `n` examples, `m` of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paretomerge.curvature.likelihoods import Categorical, TokenCategorical, likelihood_of
from paretomerge.errors import DataError, EvaluationError
from paretomerge.types import Batch, Objective, Params, Problem, Split, call_module, load_in_place


def supervised_objectives(problem: Problem) -> tuple[Objective, ...]:
    """`loss[task]` for every task, then (where labels are classes or tokens) `accuracy[task]`.

    A loss of the problem's own has no unit and no bounds that were known, and no accuracy.
    """
    own = problem.loss_fn is not None
    likelihood = likelihood_of(problem.likelihood)
    unit = "" if own else "nats per token" if isinstance(likelihood, TokenCategorical) else "nats"
    bounds = (None, None) if own else (0.0, None)
    losses = [Objective(f"loss[{task}]", "minimise", unit, bounds, task, "loss") for task in problem.tasks]
    if own or not isinstance(likelihood, Categorical | TokenCategorical):
        return tuple(losses)
    accuracies = [
        Objective(f"accuracy[{task}]", "maximise", "", (0.0, 1.0), task, "accuracy") for task in problem.tasks
    ]
    return (*losses, *accuracies)


@dataclass(frozen=True, eq=False)
class SupervisedEvaluator:
    """`(params, task) → {"loss": [n], "accuracy": [n]}` on one split, or on some of its examples.

    The accuracy of tokens is the share of an example's labelled positions whose likeliest token is the label.
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
        return self.problem.count_examples(task, self.split)

    def __call__(self, params: Params, task: str, examples: np.ndarray | None = None) -> dict[str, Tensor]:
        """Score one model on one task: on all examples, or on those with the given numbers, in their order.

        Raises:
            DataError: some examples, of a problem whose own loss is one number per batch.
            EvaluationError: a loss of the problem's own that is neither one number nor one per example.
        """
        load_in_place(self._module, params)
        batches = self.problem.batches(task, self.split)
        chosen = batches if examples is None else _chosen(batches, np.sort(examples))
        # Not inference_mode: batches a data function makes lazily here must stay usable for gradients.
        with torch.no_grad():
            if self.problem.loss_fn is None:
                scores = self._by_likelihood(chosen)
            else:
                scores = {"loss": self._by_own_loss(chosen, task, may_be_mean=examples is None)}
        if examples is None:
            return scores
        places = torch.from_numpy(np.argsort(np.argsort(examples)))
        return {metric: column[places.to(column.device)] for metric, column in scores.items()}

    def _by_likelihood(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        found: dict[str, list[Tensor]] = {"loss": []}
        likelihood = likelihood_of(self.problem.likelihood)
        for inputs, targets in batches:
            outputs = call_module(self._module, inputs)
            found["loss"].append(likelihood.losses(outputs, targets))
            if isinstance(likelihood, Categorical | TokenCategorical):
                found.setdefault("accuracy", []).append(likelihood.hits(outputs, targets))
        return {metric: torch.cat(parts) for metric, parts in found.items()}

    def _by_own_loss(self, batches: Iterable[Batch], task: str, *, may_be_mean: bool) -> Tensor:
        assert self.problem.loss_fn is not None
        losses, sizes = [], []
        for batch in batches:
            sizes.append(len(batch[1]))
            losses.append(_checked_loss(self.problem.loss_fn(self._module, batch), sizes[-1], task))
        if all(loss.ndim == 1 for loss in losses):
            return torch.cat(losses)
        if not may_be_mean:
            raise DataError(
                f"the loss of task {task!r} is one number per batch, so parts of a batch cannot be scored (as racing "
                "does): have loss_fn return one loss per example, [n]"
            )
        return _spread(torch.stack([loss.mean() for loss in losses]), torch.tensor(sizes))


def _checked_loss(loss: Any, size: int, task: str) -> Tensor:
    """`[m]`, or one number."""
    if isinstance(loss, Tensor) and tuple(loss.shape) in {(size,), ()}:
        return loss.detach()
    found = f"a tensor of shape {list(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
    raise EvaluationError(
        f"loss_fn returned {found} for a batch of {size} examples of task {task!r}: return one loss per example, "
        f"[{size}], or their mean as a tensor without dimensions"
    )


def _spread(means: Tensor, sizes: Tensor) -> Tensor:
    """Per-example scores `[n]` that stand for mean losses `c_j` of batches of `m_j` examples.

        x_i = μ + √m̄ (c_j - μ)        for the examples of batch j, with μ = Σ m_j c_j / n and m̄ the mean size

    Their mean is `μ` exactly. A batch's mean varies `m` times less than one example, which the root undoes, so that
    their standard error is that of the mean loss (and not `√m` too small, as for repeated means).
    """
    means, share = means.double(), sizes.to(means.device).double()
    centre = (means * share).sum() / share.sum()
    return (centre + share.mean().sqrt() * (means - centre)).repeat_interleave(sizes.to(means.device))


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
