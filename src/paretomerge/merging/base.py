"""What every merge rule is, and the verb `merge`.

A rule is a frozen dataclass of its settings. `prepare` reads the inputs once; `merge_block` is then called for
every block and computes all `K` weightings in one sweep over the inputs. The laws every rule claims are in
`paretomerge.testing.laws`.

Shapes: `T` tasks, `K` weightings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from paretomerge.errors import AlignmentError, PosteriorError, WeightsError
from paretomerge.posteriors import Isotropic, Posterior
from paretomerge.types import Coefficients, Params, TensorSpec, Weights, spec_of

Domain = Literal["weights", "coefficients"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a merge starts from, checked: posteriors in task order, the prior, and the base model.

    `specs` are the tensors of the merged model in their order, with the dtypes they are written in.
    """

    tasks: tuple[str, ...]
    posteriors: tuple[Posterior, ...]
    prior: Posterior | None
    base: Params | None
    specs: Mapping[str, TensorSpec]

    @property
    def filler(self) -> Params:
        """Where tensors come from that no posterior covers, and those that are only copied."""
        return self.base if self.base is not None else self.posteriors[0].mean


class MergeRule(Protocol):
    """A way to turn `T` posteriors and `K` weightings into `K` sets of parameters.

    `domain` says what the weights are: `"weights"` are task weights `alpha` (non-negative, on the simplex unless
    there is a prior), `"coefficients"` are scaling coefficients `c` of any sign.
    """

    domain: ClassVar[Domain]

    def prepare(self, inputs: Inputs) -> Any:
        """Check the inputs and compute what does not depend on the weights."""
        ...

    def blocks(self, state: Any) -> Sequence[str]:
        """The independent units of work."""
        ...

    def merge_block(self, state: Any, values: Tensor, block: str) -> dict[str, Tensor]:
        """Merge one block for all weightings: `values [K, T]` → name → `[K, *shape]`."""
        ...


def collect_inputs(
    posteriors: Mapping[str, Posterior | Params], prior: Posterior | None = None, base: Params | None = None
) -> Inputs:
    """Check posteriors, prior and base against each other; a plain checkpoint means an isotropic posterior.

    Raises:
        PosteriorError: no posteriors, or families, names or shapes that disagree.
        AlignmentError: the base lacks a tensor of the posteriors, or has another shape for it.
    """
    if not posteriors:
        raise PosteriorError("nothing to merge: give at least one task → posterior or checkpoint")
    coerced = {task: _as_posterior(given, f"task {task!r}") for task, given in posteriors.items()}
    first, *others = coerced.values()
    for other in others:
        first.require_same_kind(other)
    if prior is not None:
        prior = _as_posterior(prior, "the prior")
        first.require_same_kind(prior)
    shapes = dict(first.specs)
    if base is not None:
        _require_covers(base, shapes)
        # The base decides the order and the dtypes of the output, and fills in what no posterior covers.
        shapes = {name: spec_of(base, name) for name in base}
    return Inputs(tuple(coerced), tuple(coerced.values()), prior, base, shapes)


def merge_blocks(inputs: Inputs, weights: Any, rule: MergeRule) -> Iterator[tuple[str, Tensor]]:
    """Merge block by block: yields `(name, [K, *shape])` for every tensor, holding one block at a time.

    Tensors no posterior covers, and those that are not floating-point, come from the base (without a base:
    from the first task), unchanged.
    """
    values = torch.from_numpy(as_values(weights, inputs, rule).copy())
    state = rule.prepare(inputs)
    done: set[str] = set()
    for block in rule.blocks(state):
        for name, merged in rule.merge_block(state, values, block).items():
            done.add(name)
            yield name, merged.to(inputs.specs[name].dtype)
    for name in inputs.specs:
        if name not in done:
            tensor = inputs.filler[name]
            yield name, tensor.expand(len(values), *tensor.shape)


def as_values(weights: Any, inputs: Inputs, rule: MergeRule) -> np.ndarray:
    """Weights or coefficients in task order, `[K, T]`, checked against the rule's domain."""
    if rule.domain == "coefficients":
        batch = Coefficients.of(weights, inputs.tasks).batch
        if batch.shape[1] != 1:
            raise WeightsError(f"{type(rule).__name__} takes one coefficient per task, got {batch.shape[1]} groups")
        return batch[:, 0]
    if isinstance(weights, Coefficients):
        raise WeightsError(f"{type(rule).__name__} takes task weights, got scaling coefficients")
    return Weights.of(weights, inputs.tasks, on_simplex=inputs.prior is None).batch


def is_single(weights: Any) -> bool:
    """Whether `weights` is one weighting (a mapping or a vector) rather than a batch."""
    if isinstance(weights, Weights):
        return weights.values.ndim == 1
    if isinstance(weights, Coefficients):
        return weights.values.ndim == 2
    return isinstance(weights, Mapping) or np.ndim(weights) == 1


def collect_merged(inputs: Inputs, weights: Any, rule: MergeRule) -> dict[str, Tensor] | list[dict[str, Tensor]]:
    """All blocks in memory: one set of parameters for one weighting, a list for a batch."""
    merged = dict(merge_blocks(inputs, weights, rule))
    ordered = {name: merged[name] for name in inputs.specs}
    count = len(next(iter(ordered.values())))
    split = [{name: tensor[k].clone() for name, tensor in ordered.items()} for k in range(count)]
    return split[0] if is_single(weights) else split


def _as_posterior(given: Posterior | Params, whose: str) -> Posterior:
    if isinstance(given, Mapping):
        return Isotropic(given)
    # Not isinstance(given, Posterior): Python 3.11 would evaluate every property of the protocol, the mean included.
    if not hasattr(type(given), "natural"):
        raise PosteriorError(
            f"{whose} is given as {type(given).__name__}: give a posterior, or parameters (a mapping name → tensor, or "
            "what open_checkpoint returns)"
        )
    return given


def _require_covers(base: Params, specs: Mapping[str, TensorSpec]) -> None:
    missing = [name for name in specs if name not in base]
    if missing:
        raise AlignmentError(
            f"the base lacks {len(missing)} tensors of the finetunes, first {missing[0]!r}: is it the base of these "
            "finetunes? Run `paretomerge check` to see everything at once"
        )
    for name, spec in specs.items():
        if spec_of(base, name).shape != spec.shape:
            raise AlignmentError(
                f"{name!r} has shape {list(spec_of(base, name).shape)} in the base and {list(spec.shape)} in the "
                "finetunes: another model, or another vocabulary"
            )
