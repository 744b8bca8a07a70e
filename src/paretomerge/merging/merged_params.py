"""A merge that is computed while it is written: parameters of which no copy exists before they are where they belong.

A model that fits on no single device is merged tensor by tensor into the places that hold it: devices, the main memory,
a mapped file, or the parts of several processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from paretomerge.arithmetic import round_into
from paretomerge.errors import AlignmentError, WeightsError
from paretomerge.merging.averaging import Averaging
from paretomerge.merging.base import Inputs, MergeRule
from paretomerge.merging.fisher import FisherWeighted
from paretomerge.merging.merge import NewTensors, merge_blocks
from paretomerge.merging.posterior import PosteriorMerge
from paretomerge.merging.task_arithmetic import TaskArithmetic
from paretomerge.merging.values import BlockValues
from paretomerge.posteriors import Diagonal, Isotropic
from paretomerge.types import Params, TensorSpec, fill, is_sharded, own_part, part_of, spec_of


@dataclass(frozen=True, eq=False)
class MergedParams(Mapping[str, Tensor]):
    """The merge of `inputs` at one weighting, as parameters.

    `write_into` streams it: at any time one block of the inputs and its merge are in memory, each tensor is rounded
    once, into the dtype it is written to, and of a sharded tensor every process computes its own part where the rule
    works element by element. Asked for a tensor by name, it merges that tensor's block; rules that couple all
    parameters are then merged as a whole, and kept.

    Args:
        inputs: from `collect_inputs`, in memory or read lazily.
        weights: one weighting.
        rule: the merge rule.

    Raises:
        WeightsError: weights outside the rule's domain, or several weightings.
        PosteriorError: as `merge`, when it is written.
    """

    inputs: Inputs
    weights: Any
    rule: MergeRule

    def __post_init__(self) -> None:
        """Check the weights before anything is read."""
        count = BlockValues(self.weights, self.inputs, self.rule).count
        if count != 1:
            raise WeightsError(f"{count} weightings where one was expected: a set of parameters is one merged model")

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self.inputs.specs)

    def __len__(self) -> int:
        """Number of tensors."""
        return len(self.inputs.specs)

    def __contains__(self, name: object) -> bool:
        """Whether there is such a tensor; nothing is merged."""
        return name in self.inputs.specs

    def __getitem__(self, name: str) -> Tensor:
        """One merged tensor."""
        if name not in self.inputs.specs:
            raise KeyError(name)
        made = _Made(self.inputs.specs)
        if name in self._blocks:
            values = BlockValues(self.weights, self.inputs, self.rule)
            for _ in self.rule.merge_block(self._state, values[name], name, made):
                pass
            return made[name][0]
        spec = self.inputs.posteriors[0].specs.get(name)
        if spec is not None and spec.is_mergeable:
            return self._everything[name]
        round_into(made[name], self.inputs.filler[name][None])
        return made[name][0]

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype of a tensor, without merging it."""
        return self.inputs.specs[name]

    def write_into(self, targets: Params) -> None:
        """Merge once, and overwrite every tensor of `targets`, wherever it is.

        Args:
            targets: name → tensor; sharded ones (DTensor) get this process's part. Names that are missing are not
                written.

        Raises:
            AlignmentError: a target of integers for numbers that are merged, or sharded otherwise than in chunks.
        """
        inputs = self.inputs
        if self.is_elementwise:
            inputs = _parts_of(inputs, {name: tensor for name, tensor in targets.items() if is_sharded(tensor)})
        specs = dict(inputs.specs)
        for name in targets:
            specs[name] = TensorSpec(specs[name].shape, _dtype(name, specs[name], targets[name]))
        for name, merged in merge_blocks(inputs, self.weights, self.rule, NewTensors(specs, 1)):
            if name not in targets:
                continue
            if self.is_elementwise:
                own_part(targets[name]).copy_(merged[0])
            else:
                fill(targets[name], merged[0])

    @property
    def is_elementwise(self) -> bool:
        """Whether a part of a merged tensor depends on the same parts of the inputs only."""
        posteriors = [*self.inputs.posteriors, *([self.inputs.prior] if self.inputs.prior is not None else [])]
        plain = all(isinstance(posterior, Isotropic | Diagonal) for posterior in posteriors)
        if isinstance(self.rule, PosteriorMerge | FisherWeighted):
            return plain
        return isinstance(self.rule, Averaging | TaskArithmetic) and plain

    @cached_property
    def _state(self) -> Any:
        return self.rule.prepare(self.inputs)

    @cached_property
    def _blocks(self) -> frozenset[str]:
        return frozenset(self.rule.blocks(self._state))

    @cached_property
    def _everything(self) -> dict[str, Tensor]:
        return {name: tensor[0] for name, tensor in merge_blocks(self.inputs, self.weights, self.rule)}


class _Made(dict[str, Tensor]):
    """New memory for each tensor that is asked for, kept."""

    def __init__(self, specs: Mapping[str, TensorSpec]) -> None:
        super().__init__()
        self._new = NewTensors(specs, 1)

    def __missing__(self, name: str) -> Tensor:
        self[name] = self._new[name]
        return self[name]


class _Parts(Mapping[str, Tensor]):
    """Of every tensor the part that belongs into a target; whole where there is no target."""

    def __init__(self, params: Params, targets: Params) -> None:
        self._params, self._targets = params, targets

    def __iter__(self) -> Iterator[str]:
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)

    def __getitem__(self, name: str) -> Tensor:
        tensor = self._params[name]
        return part_of(tensor, self._targets[name]) if name in self._targets else tensor

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype of a part, without reading it."""
        spec = spec_of(self._params, name)
        return _part_spec(spec, self._targets[name]) if name in self._targets else spec


def _parts_of(inputs: Inputs, targets: Params) -> Inputs:
    """The inputs of a merge of parts."""
    if not targets:
        return inputs
    specs = {name: _part_spec(spec, targets[name]) if name in targets else spec for name, spec in inputs.specs.items()}
    return replace(inputs.map_params(lambda params: _Parts(params, targets)), specs=specs)


def _part_spec(spec: TensorSpec, target: Tensor) -> TensorSpec:
    return TensorSpec(tuple(own_part(target).shape), spec.dtype)


def _dtype(name: str, spec: TensorSpec, target: Tensor) -> torch.dtype:
    """The one in which a tensor is written.

    Raises:
        AlignmentError: integers, where numbers are merged.
    """
    if spec.is_mergeable and not target.is_floating_point():
        raise AlignmentError(
            f"cannot merge into the model: {name!r} is {target.dtype} there, which would cut off what comes after the "
            "point. Load the model in a floating-point dtype"
        )
    return target.dtype
