"""Merged models made by a worker, one after the other in the same memory; what they are made from can be shared.

Shapes: `D` coordinates of a point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from paretomerge.distributed import Share, attached
from paretomerge.merging import Inputs, MergeRule, ResidentMerge
from paretomerge.posteriors import Basis
from paretomerge.types import Params

At = Callable[[np.ndarray], Params]
"""A point `[D]` → the merged parameters there, which live until the next call."""


class ModelMaker(Protocol):
    """Makes merged models; it can be sent to another process."""

    def shared(self, share: Share) -> ModelMaker:
        """The same with every large set of tensors replaced by `share` of it."""
        ...

    def open(self) -> At:
        """Read what is needed, once."""
        ...


@dataclass(frozen=True, eq=False)
class MergedInPlace:
    """Merges by a rule, at task weights or coefficients."""

    inputs: Inputs
    rule: MergeRule

    def shared(self, share: Share) -> MergedInPlace:
        """Means, precisions, directions and the base are shared."""
        return replace(self, inputs=self.inputs.map_params(share))

    def open(self) -> At:
        """Memory for one model, which every merge overwrites."""
        resident = ResidentMerge(self.inputs.map_params(_held), self.rule)
        params = resident.new_params()

        def at(point: np.ndarray) -> Params:
            resident.merge_into(params, point)
            return params

        return at


@dataclass(frozen=True, eq=False)
class GroupedInPlace:
    """`θ_0 + Σ c v`, scaled task vectors of parameter groups.

    Args:
        base: `θ_0`.
        basis: the task vectors.
        order: for each of them the coordinate of a point that scales it.
    """

    base: Params
    basis: Basis
    order: tuple[int, ...]

    def shared(self, share: Share) -> GroupedInPlace:
        """The base and every direction are shared."""
        directions = tuple(share(direction) for direction in self.basis.directions)
        return replace(self, base=share(self.base), basis=replace(self.basis, directions=directions))

    def open(self) -> At:
        """Look everything up, once."""
        base = _held(self.base)
        basis = replace(self.basis, directions=tuple(_held(direction) for direction in self.basis.directions))
        columns = list(self.order)

        def at(point: np.ndarray) -> dict[str, Tensor]:
            return {**base, **basis.point(base, torch.from_numpy(point[columns]))}

        return at


def _held(params: Params) -> Params:
    """In memory: the object store's where it is shared."""
    found = attached(params)
    return {name: found[name] for name in found}
