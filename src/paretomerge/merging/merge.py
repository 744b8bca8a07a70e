"""The verbs: merge in memory, or block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from paretomerge.arithmetic import round_into
from paretomerge.merging.base import Inputs, MergeRule, Outputs, collect_inputs
from paretomerge.merging.posterior import PosteriorMerge
from paretomerge.merging.values import BlockValues, is_single
from paretomerge.posteriors import Posterior
from paretomerge.types import Params, TensorSpec


def merge(
    posteriors: Mapping[str, Posterior | Params],
    weights: Any,
    prior: Posterior | None = None,
    rule: MergeRule = PosteriorMerge(),
    base: Params | None = None,
    accumulate: torch.dtype | None = None,
) -> dict[str, Tensor] | list[dict[str, Tensor]]:
    """Merge the posteriors of `T` tasks at one weighting, or at `K` weightings in one sweep over the inputs.

    Args:
        posteriors: task → posterior, or task → checkpoint (an isotropic posterior of precision one).
        weights: a mapping task → weight, an array `[T]` or `[K, T]`, `Weights`, `Coefficients` for rules whose
            domain is coefficients, or `PatternWeights` where tensors differ.
        prior: a posterior of the same family; its mean is the base model. Without it weights must sum to one.
        rule: the merge rule.
        base: the base model: decides the order and dtypes of the output, fills in tensors no posterior covers, and
            is the origin of task vectors.
        accumulate: dtype of sums, `torch.float32` or `torch.float64`; by default float64 where an input is.

    Returns:
        Parameters for one weighting, a list of `K` for a batch.

    Raises:
        WeightsError: weights outside the rule's domain, or for unknown tasks.
        PosteriorError: posteriors that do not fit each other, or a merged precision that is singular.
        AlignmentError: a base that does not fit the posteriors.

    >>> import torch
    >>> merged = merge({"a": {"w": torch.tensor([1.0])}, "b": {"w": torch.tensor([3.0])}}, {"a": 0.25, "b": 0.75})
    >>> merged["w"]
    tensor([2.5000])
    """
    inputs = collect_inputs(posteriors, prior, base, accumulate)
    merged = dict(merge_blocks(inputs, weights, rule))
    ordered = {name: merged[name] for name in inputs.specs}
    if is_single(weights):
        return {name: tensor[0] for name, tensor in ordered.items()}
    # Copies, so that keeping one model does not keep the memory of all.
    count = len(next(iter(ordered.values())))
    return [{name: tensor[k].clone() for name, tensor in ordered.items()} for k in range(count)]


def merge_blocks(
    inputs: Inputs, weights: Any, rule: MergeRule, out: Outputs | None = None
) -> Iterator[tuple[str, Tensor]]:
    """Merge block by block: yields `(name, [K, *shape])` for every tensor, holding one block at a time.

    Tensors no posterior covers, and those that are not floating-point, come from the base (without a base: from the
    first task), unchanged.

    Args:
        inputs: from `collect_inputs`.
        weights: as `merge` takes them.
        rule: the merge rule.
        out: where to write; `out[name]` is asked for when a tensor is begun. By default each tensor is new memory in
            the dtype of `inputs.specs`. Where `out` uses memory again, a tensor lives until the next one is asked for.

    Raises:
        WeightsError, PosteriorError: as `merge`, before the first block.
    """
    values = BlockValues(weights, inputs, rule)
    return merge_prepared(inputs, values, rule, rule.prepare(inputs), out)


def merge_prepared(
    inputs: Inputs, values: BlockValues, rule: MergeRule, state: Any, out: Outputs | None = None
) -> Iterator[tuple[str, Tensor]]:
    """`merge_blocks` with what `rule.prepare(inputs)` gave: what it has computed for earlier weights is used again."""
    blocks = list(rule.blocks(state))
    values.require_used(blocks)
    target: Outputs = NewTensors(inputs.specs, values.count) if out is None else out
    return _merged(inputs, values, rule, state, blocks, target)


class NewTensors(Mapping[str, Tensor]):
    """New memory for each tensor that is asked for: `[K, *shape]` in the dtypes of `specs`."""

    def __init__(self, specs: Mapping[str, TensorSpec], count: int, device: torch.device | None = None) -> None:
        """Nothing is allocated yet."""
        self._specs, self._count, self._device = specs, count, device

    def __getitem__(self, name: str) -> Tensor:
        """A new tensor, not initialised."""
        spec = self._specs[name]
        return torch.empty((self._count, *spec.shape), dtype=spec.dtype, device=self._device)

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._specs)

    def __len__(self) -> int:
        """Number of names."""
        return len(self._specs)


class _Remembering(Mapping[str, Tensor]):
    """What `out` gave for each name, since it may give something new at every call."""

    def __init__(self, out: Outputs) -> None:
        self._out = out
        self.given: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        self.given[name] = self._out[name]
        return self.given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._out)

    def __len__(self) -> int:
        return len(self._out)


def _merged(
    inputs: Inputs, values: BlockValues, rule: MergeRule, state: Any, blocks: list[str], out: Outputs
) -> Iterator[tuple[str, Tensor]]:
    remembered = _Remembering(out)
    done = set()
    for block in blocks:
        for name in rule.merge_block(state, values[block], block, remembered):
            done.add(name)
            yield name, remembered.given.pop(name)
    for name in inputs.specs:
        if name not in done:
            target = out[name]
            round_into(target, inputs.filler[name].expand(target.shape))
            yield name, target
