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
DEVIATIONS = 5
"""Half the width of a bracket, in standard deviations of a sampled rank: random data miss it once in a million."""


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
    find = _find_tile_by_tile if origin.device.type == "cpu" else _find_in_memory
    size = origin.numel()
    hard = [[each for each in many if 0 < each.above < size] for many in wanted]
    found = [iter(boundaries) for boundaries in find(origin, tensors, hard, dtype)]
    return [
        [_extreme(each, size) or next(boundaries) for each in many]
        for many, boundaries in zip(wanted, found, strict=True)
    ]


def _extreme(wanted: Wanted, size: int) -> Boundary | None:
    """The boundary if all elements are above it, or none."""
    if wanted.above >= size:
        return EVERYTHING_ABOVE
    return NOTHING_ABOVE if wanted.above <= 0 else None


def _find_in_memory(
    origin: Tensor, tensors: Sequence[Tensor], wanted: Sequence[Sequence[Wanted]], dtype: torch.dtype
) -> list[list[Boundary]]:
    """By operations on whole tensors, as suits an accelerator."""
    found: list[list[Boundary]] = []
    for tensor, many in zip(tensors, wanted, strict=True):
        found.append([])
        magnitudes = _differences(origin, tensor, slice(None), dtype).abs_()
        for each in many:
            place = len(magnitudes) - each.above
            value = torch.kthvalue(magnitudes, place + 1).values
            if bool(value.isnan()):
                found[-1].append(NOTHING_ABOVE)
                continue
            equal = (magnitudes == value).nonzero()[:, 0]
            before = place - int((magnitudes < value).sum())
            before = len(equal) - before if each.front else before
            index = int(equal[before]) if before < len(equal) else len(magnitudes)
            found[-1].append(Boundary(float(value), index, each.front))
    return found


def _find_tile_by_tile(
    origin: Tensor, tensors: Sequence[Tensor], wanted: Sequence[Sequence[Wanted]], dtype: torch.dtype
) -> list[list[Boundary]]:
    searches: list[list[_Search]] = []
    for tensor, many in zip(tensors, wanted, strict=True):
        sample = _sample(origin, tensor, dtype) if many else np.empty(0)
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
        self._nan = _infinity(sample.dtype) + 1  # the least of their bits
        self._widest = (-1, self._nan)
        self._bracket = self._narrow(sample)
        self._seen: dict[int, _Seen] = {}
        self._found: _Found | None = None

    def _narrow(self, sample: np.ndarray) -> tuple[int, int]:
        """The bracket: magnitudes of the sample to both sides of where the wanted one would be in it."""
        fraction = self._place / self._size
        middle, margin = fraction * len(sample), DEVIATIONS * math.sqrt(len(sample) * fraction * (1 - fraction)) + 2
        low, high = math.floor(middle - margin), math.ceil(middle + margin)
        kept = sorted({place for place in (low, high) if 0 <= place < len(sample)})
        ends = dict(zip(kept, np.partition(sample, kept)[kept].tolist(), strict=True)) if kept else {}
        bracket = ends.get(low, self._widest[0]), ends.get(high, self._widest[1])
        # one NaN is as good as another
        return (self._nan, self._nan) if bracket[0] >= self._nan else (bracket[0], min(bracket[1], self._nan))

    def widen(self) -> None:
        """Take everything into the bracket."""
        self._bracket, self._seen = self._widest, {}

    def look(self, bits: np.ndarray, start: int) -> None:
        """Count one tile, and collect what lies inside."""
        low, high = self._bracket
        from_high = bits >= high
        count = at_high = int(np.count_nonzero(from_high))
        if high < self._nan:
            at_high = int(np.count_nonzero(bits == high))
        at_low, inside = 0, np.empty(0, bits.dtype)
        if low < high:
            at_low = int(np.count_nonzero(bits == low))
            above_low = bits > low
            inside = bits[np.logical_xor(above_low, from_high, out=above_low)]
        self._seen[start] = _Seen(count, at_high, at_low, inside)

    def settle(self) -> bool:
        """Whether the wanted element is in the bracket; what was collected is let go."""
        self._found, self._seen = self._find(), {}
        return self._found is not None

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
        assert self._found is not None
        bits, smaller, equal = self._found
        if bits == self._nan:
            return NOTHING_ABOVE  # but NaN
        # how many of the equal ones come first in memory, up to the index
        before = self._place - smaller
        if self._wanted.front:
            before = sum(equal.values()) - before
        starts, index = sorted(equal), self._size
        for start, stop in zip(starts, [*starts[1:], self._size], strict=True):
            if before < equal[start]:
                tile = _as_bits(_differences(origin, tensor, slice(start, stop), dtype))
                index = start + int(np.flatnonzero(tile == bits)[before])
                break
            before -= equal[start]
        return Boundary(_number(bits, dtype), index, self._wanted.front)


def _look(origin: Tensor, tensors: Sequence[Tensor], searches: Sequence[Sequence[_Search]], dtype: torch.dtype) -> None:
    """Show every tile of every tensor to the searches in it."""
    groups = [group for group in searches if group]
    sought = [tensor for tensor, group in zip(tensors, searches, strict=True) if group]

    def look(tiles: Sequence[Tensor], out: Tensor, start: int) -> None:
        first, *others, delta = tiles
        for tensor, group in zip(others, groups, strict=True):
            bits = _as_bits(torch.sub(tensor, first, out=delta))
            for search in group:
                search.look(bits, start)

    if sought:
        sweep([origin, *sought], None, look, dtype, scratch=1)


def _sample(origin: Tensor, tensor: Tensor, dtype: torch.dtype) -> np.ndarray:
    """Every so many-th magnitude as bits, about `n^(2/3)`; none of a small tensor.

    The step has no factor in common with the length of a row, so that all columns are visited alike.
    """
    size = origin.numel()
    step = max(size, 1)
    if size > SMALL:
        step = round(size ** (1 / 3))
        while math.gcd(step, origin.shape[-1]) > 1:
            step -= 1
    places = slice(step // 2, size if size > SMALL else 0, step)
    return _as_bits(_differences(origin, tensor, places, dtype))


def _differences(origin: Tensor, tensor: Tensor, places: slice, dtype: torch.dtype) -> Tensor:
    first, second = (each.detach().reshape(-1)[places].to(dtype) for each in (origin, tensor))
    return second - first


def _as_bits(differences: Tensor) -> np.ndarray:
    """Their magnitudes as integers of the same order, in the same memory."""
    bits = differences.numpy().view(np.int64 if differences.dtype == torch.float64 else np.int32)
    return np.bitwise_and(bits, (1 << 8 * bits.itemsize - 1) - 1, out=bits)


def _infinity(dtype: np.dtype) -> int:
    return 0x7FF0_0000_0000_0000 if dtype.itemsize == 8 else 0x7F80_0000


def _number(bits: int, dtype: torch.dtype) -> float:
    whole = torch.tensor(bits, dtype=torch.int64 if dtype == torch.float64 else torch.int32)
    return float(whole.view(dtype))
