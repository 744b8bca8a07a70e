"""The k largest magnitudes of task vectors, exactly, without sorting and without a copy of any tensor.

A magnitude is read as the integer that its bits are, which has the same order. A sample of the magnitudes gives a
bracket that holds the wanted one with near certainty; one pass over the tensors counts what lies above the bracket
and collects what lies inside, one or two percent, and the wanted magnitude is found among these. Where the bracket
missed, and for small tensors, everything is inside. (Floyd & Rivest, 1975, Expected time bounds for selection.)

Differences of bfloat16 numbers have few values, so many magnitudes are equal: the ends of a bracket are counted and
never collected, and which of the equal elements are kept is decided by their places in memory.

Shapes: `T` tensors of `n` elements each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from paretomerge.arithmetic.boundaries import EVERYTHING_ABOVE, NOTHING_ABOVE, Boundary
from paretomerge.arithmetic.tiles import sweep

SMALL = 1 << 15
"""Elements up to which everything is inside the bracket."""
DEVIATIONS = 6
"""Half the width of a bracket, in standard deviations of a sampled rank: random data miss it once in 10^9 times."""


@dataclass(frozen=True)
class Wanted:
    """A boundary with `above` elements above it: of equal ones the first in memory (`front`), or the last."""

    above: int
    front: bool = True


def find_boundaries(
    origin: Tensor, tensors: Sequence[Tensor], wanted: Sequence[Sequence[Wanted]], dtype: torch.dtype
) -> list[list[Boundary]]:
    """Boundaries in the magnitudes `|tensor - origin|`; for every tensor as many as are wanted of it.

    One pass over all tensors, and rarely a second one that needs the memory of two copies of a tensor. NaN counts as
    larger than every number.

    Args:
        origin: `n` elements, of any floating-point dtype and shape.
        tensors: `T` tensors of the same shape.
        wanted: `T` lists.
        dtype: of the differences, float32 or float64.
    """
    if origin.device.type != "cpu":
        return [
            [find_in_memory(origin, tensor, each, dtype) for each in many]
            for tensor, many in zip(tensors, wanted, strict=True)
        ]
    searches: list[list[_Search]] = []
    for tensor, many in zip(tensors, wanted, strict=True):
        sample = _sample(origin, tensor, dtype)
        searches.append([_Search(each, origin.numel(), sample) for each in many])
    _look(origin, tensors, searches, dtype)
    for tensor, group in zip(tensors, searches, strict=True):
        for search in group:
            if not search.settle():
                search.widen()
                _look(origin, [tensor], [[search]], dtype)
                search.settle()
    return [
        [search.boundary(origin, tensor, dtype) for search in group]
        for tensor, group in zip(tensors, searches, strict=True)
    ]


def find_in_memory(origin: Tensor, tensor: Tensor, wanted: Wanted, dtype: torch.dtype) -> Boundary:
    """One boundary by operations on whole tensors, as suits an accelerator."""
    place = origin.numel() - wanted.above
    if not 0 < place < origin.numel():
        return EVERYTHING_ABOVE if place <= 0 else NOTHING_ABOVE
    bits = (tensor.to(dtype) - origin.to(dtype)).abs_().reshape(-1).nan_to_num_(nan=math.inf, posinf=math.inf)
    raise NotImplementedError


class _Seen(NamedTuple):
    """What one tile has: how many from the upper end of the bracket on, at either end, and which in between."""

    from_high: int
    at_high: int
    at_low: int
    inside: np.ndarray


class _Found(NamedTuple):
    """The wanted element: its bits, how many are smaller, and how many are equal to it in each tile."""

    bits: int
    smaller: int
    equal: dict[int, int]


class _Search:
    """One wanted boundary: the bracket it is looked for in, what every tile has, and what follows from it."""

    def __init__(self, wanted: Wanted, size: int, sample: np.ndarray) -> None:
        self._wanted, self._size = wanted, size
        self._place = size - wanted.above  # of the wanted element, the smallest being at 0
        self._is_trivial = not 0 < self._place < size
        self._widest = (-1, int(np.iinfo(sample.dtype).max))  # neither end is the bits of a magnitude
        self._bracket = self._widest if self._is_trivial else self._narrow(sample)
        self._seen: dict[int, _Seen] = {}
        self._found: _Found | None = None

    def _narrow(self, sample: np.ndarray) -> tuple[int, int]:
        """The bracket: magnitudes of the sample to both sides of where the wanted one would be in it."""
        fraction = self._place / self._size
        middle, margin = fraction * len(sample), DEVIATIONS * math.sqrt(len(sample) * fraction * (1 - fraction)) + 2
        low, high = math.floor(middle - margin), math.ceil(middle + margin)
        kept = sorted({place for place in (low, high) if 0 <= place < len(sample)})
        if kept:
            sample = np.partition(sample, kept)
        return (
            int(sample[low]) if low in kept else self._widest[0],
            int(sample[high]) if high in kept else self._widest[1],
        )

    def widen(self) -> None:
        """Take everything into the bracket."""
        self._bracket, self._seen = self._widest, {}

    def look(self, bits: np.ndarray, start: int) -> None:
        """Count one tile, and collect what lies inside."""
        if self._is_trivial:
            return
        low, high = self._bracket
        from_high = bits >= high
        at_low = int(np.count_nonzero(bits == low))
        at_high = int(np.count_nonzero(bits == high)) if high > low else at_low
        inside = bits[:0].copy()
        if high > low:
            above_low = bits > low
            inside = bits[np.logical_xor(above_low, from_high, out=above_low)]
        self._seen[start] = _Seen(int(np.count_nonzero(from_high)), at_high, at_low, inside)

    def settle(self) -> bool:
        """Whether the wanted element is in the bracket; what was collected is let go."""
        if not self._is_trivial:
            self._found = self._find()
            self._seen = {}
        return self._is_trivial or self._found is not None

    def _find(self) -> _Found | None:
        (low, high), seen, place = self._bracket, self._seen, self._place
        first_high = self._size - sum(tile.from_high for tile in seen.values())
        first_inside = first_high - sum(len(tile.inside) for tile in seen.values())
        if place >= first_high:
            found = _Found(high, first_high, {start: tile.at_high for start, tile in seen.items()})
            return found if place < first_high + sum(found.equal.values()) else None
        if place >= first_inside:
            inside = np.concatenate([tile.inside for tile in seen.values()])
            inside.partition(place - first_inside)
            value = int(inside[place - first_inside])
            smaller = first_inside + int(np.count_nonzero(inside < value))
            equal = {start: int(np.count_nonzero(tile.inside == value)) for start, tile in seen.items()}
            return _Found(value, smaller, equal)
        at_low = {start: tile.at_low for start, tile in seen.items()}
        first_low = first_inside - sum(at_low.values())
        return _Found(low, first_low, at_low) if place >= first_low else None

    def boundary(self, origin: Tensor, tensor: Tensor, dtype: torch.dtype) -> Boundary:
        """The boundary, when it was settled."""
        if self._found is None:
            return EVERYTHING_ABOVE if self._place <= 0 else NOTHING_ABOVE
        value, smaller, equal = self._found
        # how many of the equal ones come first in memory, up to the index
        before = self._place - smaller
        if self._wanted.front:
            before = sum(equal.values()) - before
        for start in sorted(equal):
            if before < equal[start]:
                tile = slice(start, start + TILE)
                bits = _bits(origin.reshape(-1)[tile], tensor.reshape(-1)[tile], dtype)
                index = start + int(np.flatnonzero(bits == value)[before])
                return Boundary(_number(value, dtype), index, self._wanted.front)
            before -= equal[start]
        return Boundary(_number(value, dtype), self._size, self._wanted.front)


def _look(
    origin: Tensor, tensors: Sequence[Tensor], searches: Sequence[Sequence[_Search]], dtype: torch.dtype
) -> None:
    """Show every tile of every tensor to the searches in it."""

    def look(tiles: Sequence[Tensor], out: Tensor, start: int) -> None:
        first, *others, delta = tiles
        for tensor, group in zip(others, searches, strict=True):
            if group:
                bits = _as_bits(torch.sub(tensor, first, out=delta))
                for search in group:
                    search.look(bits, start)

    sweep([origin, *tensors], None, look, dtype, scratch=1)
