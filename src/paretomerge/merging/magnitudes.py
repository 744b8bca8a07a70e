"""Trimming by magnitude: the largest entries of a task vector, or all but the largest and the smallest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from paretomerge.arithmetic import Boundary, Wanted, find_boundaries


@dataclass(frozen=True)
class TrimByMagnitude:
    """Per task, what lies above a lower boundary is kept, but not what lies above an upper one."""

    lower: tuple[Boundary, ...]
    upper: tuple[Boundary, ...] = ()

    @classmethod
    def largest(cls, sources: Sequence[Tensor], densities: Sequence[float], dtype: torch.dtype) -> TrimByMagnitude:
        """The `int(density · n)` largest, at least one; of equal ones the first in memory."""
        origin, *tensors = sources
        size = origin.numel()
        wanted = [[Wanted(size if density >= 1 else max(1, int(density * size)))] for density in densities]
        return cls(tuple(lower for (lower,) in find_boundaries(origin, tensors, wanted, dtype)))

    @classmethod
    def between(
        cls, sources: Sequence[Tensor], densities: Sequence[float], gammas: Sequence[float], dtype: torch.dtype
    ) -> TrimByMagnitude:
        """`int(density · n)` entries, below the `int(gamma · n)` largest.

        Where there are fewer below them, fewer of the largest are dropped. In ascending order, equal entries are in
        the order of memory.
        """
        origin, *tensors = sources
        size = origin.numel()
        wanted = []
        for density, gamma in zip(densities, gammas, strict=True):
            kept = size if density >= 1 else int(density * size)
            smallest = max(0, size - kept - int(gamma * size))
            wanted.append([Wanted(size - smallest, False), Wanted(size - smallest - kept, False)])
        pairs = find_boundaries(origin, tensors, wanted, dtype)
        return cls(tuple(lower for lower, _ in pairs), tuple(upper for _, upper in pairs))

    @property
    def factors(self) -> tuple[float, ...]:
        """Nothing is rescaled."""
        return (1.0,) * len(self.lower)

    def apply(self, number: int, delta: Tensor, start: int, spare: Tensor) -> None:
        """Zero what is not kept."""
        self.lower[number].keep_above(delta, start, delta)
        if self.upper:
            self.upper[number].keep_above(delta, start, spare)
            delta.sub_(spare)  # what is kept is either equal, or zero, in the other
