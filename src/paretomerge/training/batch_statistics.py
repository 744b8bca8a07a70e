"""Running statistics of batch normalisation, estimated again for parameters that no training has led to.

A batch normalisation keeps the mean and the variance of what it was given in training. A merged model gives it
something else, and the merge of the finetunes' statistics says little about that: statistics are not linear in the
parameters, and neither is a variance in the mixture. So the model is shown data again. What it is shown is the mixture
of the tasks with weights `α`, as a joint training with `mix="proportional"` would have shown it:

    μ = Σ_t α_t μ_t          σ² = Σ_t α_t (σ_t² + (μ_t - μ)²)          μ_t, σ_t²: over the examples of task t

Law (tested): with these statistics the model in evaluation mode gives what it gives in training mode on all of the
mixture as one batch; the variance is therefore that of the mixture, not torch's unbiased estimate.

What a layer is given depends on the statistics of the layers before it. Every sweep over the data measures all layers
with the statistics that the sweep before has found, so that a chain of `L` layers is exact after `L` sweeps. A layer
that is used in several places gets the statistics of all it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge.curvature.examples import take_examples
from paretomerge.errors import DataError
from paretomerge.types import Batch, Params, Problem, Split, Weights, call_module, load_in_place

BatchNorm = nn.modules.batchnorm._BatchNorm


def refresh_statistics(
    problem: Problem,
    params: Params,
    weights: Mapping[str, float] | Weights,
    *,
    examples: int | None = None,
    split: Split = "training",
) -> dict[str, Tensor]:
    """`params` with the running means and variances that its batch normalisations need on the mixture `α`.

    Nothing else changes; a model without batch normalisation, or whose batch normalisations keep no statistics, comes
    back as it is, and no data are read. Whatever statistics `params` has, or lacks, the result is the same. Costs as
    many forward passes as there are batch normalisations, over the examples of all tasks with positive weight.

    Args:
        problem: model and data.
        params: of a merged model.
        weights: `α`, on the simplex. Where the trainings that are previewed drew equally many examples of every task
            (`mix="equal"`), give equal weights for the tasks that take part.
        examples: the first so many of each task; all when `None`.
        split: whose examples.

    Raises:
        WeightsError: weights outside the simplex, or for unknown tasks.
        AlignmentError: `params` belong to another model.
        DataError: a split without examples, or fewer than one of each task asked for.
    """
    if examples is not None and examples < 1:
        raise DataError(f"statistics need at least one example of each task, got examples={examples}")
    alpha = {task: weight for task, weight in Weights.of(weights, problem.tasks).as_mapping().items() if weight > 0}
    module = problem.build().eval()
    load_in_place(module, params)
    norms = _tracking(module)
    if not norms:
        return dict(params)
    state, names = module.state_dict(), _names(module)
    with torch.no_grad():
        for _ in norms:
            before = torch.cat([state[name].flatten() for name in names])
            _sweep(module, norms, problem, alpha, examples, split)
            if torch.equal(before, torch.cat([state[name].flatten() for name in names])):
                break  # layers side by side are exact sooner
    # Copies, should the problem build the same module again.
    return dict(params) | {
        name: state[name].to("cpu", params.get(name, state[name]).dtype, copy=True) for name in names
    }


class Moments:
    """Count, mean and sum of squared deviations of every channel, `[C]`, in float64, batch after batch.

    Parts are pooled by the formula of Chan, Golub and LeVeque (1979, "Updating formulae and a pairwise algorithm for
    computing sample variances"), which loses no digits to a large mean.
    """

    def __init__(self) -> None:
        """Of nothing."""
        self.count = 0
        self.mean: Tensor | float = 0.0
        self.deviations: Tensor | float = 0.0

    def add(self, given: Tensor) -> None:
        """Take in `[B, C, ...]`."""
        values = given.detach().to(torch.float64).transpose(0, 1).flatten(1)
        count = values.shape[1]
        if not count:
            return
        mean = values.mean(1)
        total = self.count + count
        shift = mean - self.mean
        deviations = (values - mean[:, None]).square().sum(1)
        self.deviations = self.deviations + deviations + shift.square() * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total


def pooled(parts: Iterable[tuple[float, Moments]]) -> tuple[Tensor, Tensor] | None:
    """Mean and variance of a mixture, `[C]` each, from weights and moments; `None` where nothing was seen."""
    seen = [(weight, part.mean, part.deviations / part.count) for weight, part in parts if part.count]
    if not seen:
        return None
    total = sum(weight for weight, _, _ in seen)
    mean = sum(weight / total * centre for weight, centre, _ in seen)
    variance = sum(weight / total * (spread + (centre - mean) ** 2) for weight, centre, spread in seen)
    assert isinstance(mean, Tensor)
    assert isinstance(variance, Tensor)
    return mean, variance


def _sweep(
    module: nn.Module,
    norms: list[BatchNorm],
    problem: Problem,
    alpha: Mapping[str, float],
    examples: int | None,
    split: Split,
) -> None:
    """Show the module every task's examples, then write what its batch normalisations were given."""
    found: dict[BatchNorm, list[tuple[float, Moments]]] = {norm: [] for norm in norms}
    for task, weight in alpha.items():
        seen = {norm: Moments() for norm in norms}
        with _watched(seen):
            _show(module, take_examples(problem.batches(task, split), examples))
        for norm, moments in seen.items():
            found[norm].append((weight, moments))
    for norm, parts in found.items():
        both = pooled(parts)
        if both is not None:  # a part of the model that these tasks do not use keeps its own
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.copy_(both[0])
            norm.running_var.copy_(both[1])


def _show(module: nn.Module, batches: Iterable[Batch]) -> None:
    for inputs, _ in batches:
        call_module(module, inputs)


@contextmanager
def _watched(seen: Mapping[BatchNorm, Moments]) -> Iterator[None]:
    """Take in whatever the modules are given, while inside."""

    def watch(norm: nn.Module, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        seen[norm].add(given[0] if given else named["input"])  # type: ignore[index]

    hooks = [norm.register_forward_pre_hook(watch, with_kwargs=True) for norm in seen]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _tracking(module: nn.Module) -> list[BatchNorm]:
    """The batch normalisations that keep statistics."""
    return [part for part in module.modules() if isinstance(part, BatchNorm) and part.running_mean is not None]


def _names(module: nn.Module) -> list[str]:
    """Names of their statistics in the state, under every name that a module has."""
    parts = module.named_modules(remove_duplicate=False)
    tracking = [name for name, part in parts if isinstance(part, BatchNorm) and part.running_mean is not None]
    return [f"{name}.{kind}".lstrip(".") for name in tracking for kind in ("running_mean", "running_var")]
