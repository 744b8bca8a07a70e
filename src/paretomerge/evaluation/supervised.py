"""The evaluator every `Problem` has: loss, accuracy, F1 and perplexity of a split's examples, from one forward pass.

A problem with a loss of its own is measured by it alone. Shapes: `n` examples, `m` of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paretomerge.curvature.likelihoods import Categorical, Likelihood, TokenCategorical, likelihood_of
from paretomerge.errors import DataError, EvaluationError
from paretomerge.evaluation.metrics import METRICS, NOT_MEANS, problem_objectives, require_metrics
from paretomerge.evaluation.ratios import f1_scores, perplexity_scores
from paretomerge.evaluation.subsets import require_means
from paretomerge.types import Batch, Objective, Params, Problem, Split, call_module, load_in_place


def supervised_objectives(problem: Problem, metrics: Sequence[str] | None = None) -> tuple[Objective, ...]:
    """`loss[task]` for every task, then (where labels are classes or tokens) `accuracy[task]`; or other metrics.

    A loss of the problem's own has no unit and no bounds that were known, and no accuracy.

    Args:
        problem: model and data.
        metrics: `"loss"`, `"accuracy"`, `"f1"` (classes) or `"perplexity"` (tokens).

    Raises:
        DataError: a metric that the problem does not have.
    """
    return problem_objectives(problem, require_supervised(problem, metrics))


def require_supervised(problem: Problem, metrics: Sequence[str] | None) -> tuple[str, ...]:
    """The metrics that are wanted, all of them computed from the outputs of one forward pass.

    Raises:
        DataError: one that is not, or that the problem does not have.
    """
    wanted = require_metrics(problem, metrics)
    for name in wanted:
        if METRICS[name].source != "batches":
            raise DataError(f"{name!r} is measured on questions, not on batches: problem_evaluator measures both")
    return wanted


@dataclass(frozen=True, eq=False)
class SupervisedEvaluator:
    """`(params, task) → {"loss": [n], "accuracy": [n]}` on one split, or on some of its examples.

    The accuracy of tokens is the share of an example's labelled positions whose likeliest token is the label. `"f1"`
    (macro) and `"perplexity"` are no means over examples; their scores are influence values, whose mean is the
    statistic, see `evaluation.ratios`. Parameters are written in place into one live module, so nothing is allocated
    per model.

    Args:
        problem: model and data.
        split: whose examples are scored.
        metrics: which ones; loss and accuracy by default, see `METRICS`.

    Raises:
        DataError: a metric that the problem does not have.
    """

    problem: Problem
    split: Split = "test"
    metrics: Sequence[str] | None = None
    _module: nn.Module = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Build the module once."""
        object.__setattr__(self, "metrics", require_supervised(self.problem, self.metrics))
        object.__setattr__(self, "_module", self.problem.build().eval())

    @property
    def not_means(self) -> tuple[str, ...]:
        """The metrics that are no means over examples, and cannot be measured on parts of them."""
        return tuple(name for name in self.metrics or () if name in NOT_MEANS)

    def count_examples(self, task: str) -> int:
        """How many examples of a task there are."""
        return self.problem.count_examples(task, self.split)

    def __call__(self, params: Params, task: str, examples: np.ndarray | None = None) -> dict[str, Tensor]:
        """Score one model on one task: on all examples, or on those with the given numbers, in their order.

        Raises:
            DataError: some examples, of a problem whose own loss is one number per batch, or of a metric that is no
                mean over examples.
            EvaluationError: a loss of the problem's own that is neither one number nor one per example.
        """
        if examples is not None:
            require_means(self)
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
        likelihood = likelihood_of(self.problem.likelihood)
        wanted = self.metrics or ()
        found: dict[str, list[Tensor]] = {part: [] for metric in wanted for part in _PARTS.get(metric, (metric,))}
        for inputs, targets in batches:
            outputs = call_module(self._module, inputs)
            # Reduced precision ends here: losses are computed in float32 or better.
            outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
            for part, columns in found.items():
                columns.append(_measure(part, likelihood, outputs, targets))
        joined = {part: torch.cat(columns) for part, columns in found.items()}
        return {metric: _scores(metric, joined) for metric in wanted}

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


_PARTS = {"f1": ("guess", "label", "classes"), "perplexity": ("loss", "tokens")}
"""What metrics that are no mean over examples are computed from."""


def _measure(part: str, likelihood: Likelihood, outputs: Tensor, targets: Tensor) -> Tensor:
    """One column `[m]` of a batch."""
    if part == "loss":
        return likelihood.losses(outputs, targets)
    if part == "guess":
        return outputs.argmax(-1)
    if part == "label":
        return targets
    if part == "classes":
        return torch.full_like(targets, outputs.shape[-1])
    if part == "tokens":
        return likelihood.label_counts(targets)
    assert isinstance(likelihood, Categorical | TokenCategorical)
    return likelihood.hits(outputs, targets)


def _scores(metric: str, found: Mapping[str, Tensor]) -> Tensor:
    """One score per example `[n]`, from columns of all examples."""
    if metric not in _PARTS:
        return found[metric]
    columns = {part: found[part].cpu().double().numpy() for part in _PARTS[metric]}
    if metric == "f1":
        return torch.from_numpy(f1_scores(columns["guess"], columns["label"], int(columns["classes"][0])))
    return torch.from_numpy(perplexity_scores(columns["loss"] * columns["tokens"], columns["tokens"]))


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
