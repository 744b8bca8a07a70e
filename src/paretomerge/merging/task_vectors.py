"""Task vectors tile by tile: read, trimmed as a rule says, and added with or without an election of signs.

    δ_t = θ_t - θ_0,    x_t = c_t r_t trim(δ_t)            r_t rescales what a rule has left

    θ = θ_0 + λ Σ x_t                                      added
    θ = θ_0 + λ Σ_{t agrees} x_t  [/ Σ_{t agrees} c_t]     elected: those agree whose sign is that of Σ x_t

With `S = Σ x_t` and `A = Σ |x_t|`, those that agree sum to `(S + sign(S) A) / 2`: both are plain sums, one task vector
is in the cache at a time, and nothing cancels. A sum of zero counts as positive.

Tasks are added in the order of their names: where the sum is zero but for rounding, the sign that is elected must not
depend on the order in which they were given.

Shapes: `T` tasks, `K` weightings, `n` elements of a tile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from paretomerge.arithmetic import sweep
from paretomerge.merging.base import Inputs
from paretomerge.merging.task_arithmetic import normalized

Computed = TypeVar("Computed")


class Trim(Protocol):
    """What a rule leaves of the task vectors of one tensor; nothing in it depends on the weights."""

    @property
    def factors(self) -> Sequence[float]:
        """`r_t`, one for each task."""
        ...

    def apply(self, number: int, delta: Tensor, start: int, spare: Tensor) -> None:
        """Trim a tile of the task vector of task `number` in place; it begins at element `start` of the tensor.

        `spare` is a tile that may be overwritten.
        """
        ...


@dataclass(frozen=True, eq=False)
class TaskVectors:
    """The inputs, tasks in the order of their names, and per block what does not depend on the weights."""

    inputs: Inputs
    tasks: tuple[str, ...]
    computed: dict[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, inputs: Inputs) -> TaskVectors:
        """Nothing is read yet.

        Raises:
            WeightsError: there is no base model.
        """
        _ = inputs.origin
        return cls(inputs, tuple(sorted(inputs.tasks)))

    @property
    def is_resident(self) -> bool:
        """Whether all finetunes are in memory, where they may be merged again and again."""
        return not any(hasattr(mean, "spec") for mean in self.inputs.means)

    def read(self, block: str) -> list[Tensor]:
        """The base's tensor, and those of the tasks."""
        return [self.inputs.origin[block], *(self.inputs.means[place][block] for place in self._places)]

    def in_order(self, values: Tensor) -> Tensor:
        """`values [K, T]` for the tasks in the order of their names."""
        return values[:, self._places]

    def once(self, block: str, compute: Callable[[], Computed]) -> Computed:
        """What `compute` gives, computed when a block is merged for the first time."""
        if block not in self.computed:
            self.computed[block] = compute()
        return self.computed[block]  # type: ignore[return-value]

    @property
    def _places(self) -> list[int]:
        return [self.inputs.tasks.index(task) for task in self.tasks]


def merge_task_vectors(
    state: TaskVectors,
    sources: Sequence[Tensor],
    values: Tensor,
    out: Tensor,
    trim: Trim,
    scale: float,
    elect_signs: bool,
    normalize: bool,
) -> None:
    """Merge one tensor at all weightings `values [K, T]` into `out [K, *shape]`, rounded once.

    Args:
        state: from `TaskVectors.of`.
        sources: what `state.read` gave.
        values: coefficients, in the inputs' order.
        out: overwritten.
        trim: what is left of the task vectors.
        scale: `λ`.
        elect_signs: whether only those are added that agree in sign.
        normalize: divide by the sum of the coefficients (of those that agree).

    Raises:
        WeightsError: coefficients to be normalised that sum to zero; where signs are elected such a sum counts as one.
    """
    values = state.in_order(normalized(values) if normalize and not elect_signs else values)
    factors = (values * torch.tensor(trim.factors, dtype=values.dtype)).tolist()
    count, tasks = values.shape
    dtype = state.inputs.sum_dtype(sources)
    if not elect_signs:
        sweep(sources, out, _Added(factors, scale, trim), dtype, scratch=2)
    elif not normalize:
        sweep(sources, out, _Elected(factors, scale, trim), dtype, scratch=2 + count)
    else:
        averaged = _ElectedAverage(factors, scale, trim, values.tolist())
        sweep(sources, out, averaged, dtype, scratch=4 + count + tasks)


@dataclass(frozen=True, eq=False)
class _Added:
    """`θ_0 + λ Σ x_t`."""

    factors: Sequence[Sequence[float]]
    scale: float
    trim: Trim

    def __call__(self, tiles: Sequence[Tensor], out: Tensor, start: int) -> None:
        origin, *tensors, delta, spare = tiles
        for t, tensor in enumerate(tensors):
            torch.sub(tensor, origin, out=delta)
            self.trim.apply(t, delta, start, spare)
            for row, factors in zip(out, self.factors, strict=True):
                torch.add(row if t else origin, delta, alpha=self.scale * factors[t], out=row)


@dataclass(frozen=True, eq=False)
class _Elected:
    """`θ_0 + λ Σ_{t agrees} x_t`."""

    factors: Sequence[Sequence[float]]
    scale: float
    trim: Trim

    def __call__(self, tiles: Sequence[Tensor], out: Tensor, start: int) -> None:
        origin, tensors, (delta, spare, *sizes) = _split(tiles, len(self.factors[0]))
        for t, tensor in enumerate(tensors):
            torch.sub(tensor, origin, out=delta)
            self.trim.apply(t, delta, start, spare)
            _add_term(self.factors, t, delta, out, sizes)
        for row, size in zip(out, sizes, strict=True):
            twice = row.add_(torch.copysign(size, row, out=size))
            torch.add(origin, twice, alpha=self.scale / 2, out=row)


@dataclass(frozen=True, eq=False)
class _ElectedAverage:
    """`θ_0 + λ Σ_{t agrees} x_t / Σ_{t agrees} c_t`."""

    factors: Sequence[Sequence[float]]
    scale: float
    trim: Trim
    weights: Sequence[Sequence[float]]

    def __call__(self, tiles: Sequence[Tensor], out: Tensor, start: int) -> None:
        count = len(self.factors)
        origin, tensors, (delta, spare, elected, agrees, *rest) = _split(tiles, len(self.factors[0]))
        sizes, signs = rest[:count], rest[count:]
        for t, tensor in enumerate(tensors):
            torch.sub(tensor, origin, out=delta)
            self.trim.apply(t, delta, start, spare)
            torch.sign(delta, out=signs[t])
            _add_term(self.factors, t, delta, out, sizes)
        for row, size, weights in zip(out, sizes, self.weights, strict=True):
            torch.ge(row, 0, out=elected).mul_(2).sub_(1)
            twice = row.addcmul_(size, elected)
            total = _agreeing_weight(weights, signs, elected, agrees, spare)
            torch.add(origin, twice.div_(total), alpha=self.scale / 2, out=row)


def _split(tiles: Sequence[Tensor], tasks: int) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor]]:
    """The base's tile, those of the tasks, and scratch."""
    return tiles[0], tiles[1 : tasks + 1], tiles[tasks + 1 :]


def _add_term(factors: Sequence[Sequence[float]], t: int, delta: Tensor, sums: Tensor, sizes: Sequence[Tensor]) -> None:
    """Add `x_t` to the sums and `|x_t|` to the sizes of all weightings; `delta` is overwritten."""
    for row, each in zip(sums, factors, strict=True):
        _add(row, delta, each[t], is_first=t == 0)
    delta.abs_()
    for size, each in zip(sizes, factors, strict=True):
        _add(size, delta, abs(each[t]), is_first=t == 0)


def _add(total: Tensor, term: Tensor, factor: float, is_first: bool) -> None:
    if is_first:
        torch.mul(term, factor, out=total)
    else:
        total.add_(term, alpha=factor)


def _agreeing_weight(
    weights: Sequence[float], signs: Sequence[Tensor], elected: Tensor, agrees: Tensor, total: Tensor
) -> Tensor:
    """`Σ_{t agrees} c_t`, and one where that is zero; `elected` and `agrees` are overwritten."""
    total.zero_()
    for negative in (False, True):
        if negative:
            elected.neg_()  # with a negative weight, a task vector of the other sign agrees
        for weight, sign in zip(weights, signs, strict=True):
            if weight and (weight < 0) == negative:
                total.add_(torch.eq(sign, elected, out=agrees), alpha=weight)
    return total.add_(torch.eq(total, 0, out=agrees))
