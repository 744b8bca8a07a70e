"""Naive twins of the rules that trim task vectors: whole tensors in float64, and nothing clever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from paretomerge.merging import MergeRule, collect_inputs


def deltas_of(base: Tensor, finetunes: Mapping[str, Tensor]) -> np.ndarray:
    """`δ [T, n]`."""
    return np.stack([(tensor.double() - base.double()).reshape(-1).numpy() for tensor in finetunes.values()])


def largest(deltas: np.ndarray, densities: Sequence[float]) -> np.ndarray:
    """What TIES keeps: `[T, n]` of zeros and ones."""
    keep = np.zeros_like(deltas)
    for row, delta, density in zip(keep, deltas, densities, strict=True):
        order = np.argsort(-np.abs(delta), kind="stable")
        row[order[: max(1, int(density * len(delta)))]] = 1
    return keep


def between(deltas: np.ndarray, densities: Sequence[float], gammas: Sequence[float]) -> np.ndarray:
    """What breadcrumbs keeps: `[T, n]` of zeros and ones."""
    keep = np.zeros_like(deltas)
    for row, delta, density, gamma in zip(keep, deltas, densities, gammas, strict=True):
        size = len(delta)
        kept = int(density * size)
        first = max(0, size - kept - int(gamma * size))
        row[np.argsort(np.abs(delta), kind="stable")[first : first + kept]] = 1
    return keep


def combine(
    base: Tensor, deltas: np.ndarray, weights: Sequence[float], scale: float, elect: bool, normalize: bool,
    factors: Sequence[float] | None = None,
) -> Tensor:  # fmt: skip
    """`θ` in float64 from trimmed task vectors `[T, n]`, as mergekit's `merge_group` says."""
    coefficients = np.array(weights, dtype=np.float64)[:, None]
    terms = coefficients * deltas * (1.0 if factors is None else np.array(factors)[:, None])
    agree = np.ones_like(terms)
    if elect:
        agree = np.sign(terms) == np.where(terms.sum(0) >= 0, 1, -1)
    merged, total = (terms * agree).sum(0), (coefficients * agree).sum(0)
    if normalize:
        merged = merged / np.where(total == 0, 1, total)
    return base.double() + scale * torch.from_numpy(merged).reshape(base.shape)


def eighths(shape: Sequence[int], tasks: int, seed: int, levels: int = 6) -> tuple[Tensor, dict[str, Tensor]]:
    """A base and finetunes in multiples of 1/8: sums of a few are exact in every dtype, many magnitudes are equal."""
    generator = torch.Generator().manual_seed(seed)

    def draw() -> Tensor:
        return torch.randint(-levels, levels + 1, tuple(shape), generator=generator).double() / 8

    return draw(), {name: draw() for name in "abcdef"[:tasks]}


def merged_by(
    rule: MergeRule, base: Tensor, finetunes: Mapping[str, Tensor], rows: Sequence[Sequence[float]], name: str = "w",
    out_dtype: torch.dtype = torch.float64,
) -> Tensor:  # fmt: skip
    """`[K, *shape]`, written in float64 so that nothing is hidden by rounding."""
    inputs = collect_inputs({task: {name: tensor} for task, tensor in finetunes.items()}, base={name: base})
    out = {name: torch.full((len(rows), *base.shape), torch.nan, dtype=out_dtype)}
    done = list(rule.merge_block(rule.prepare(inputs), torch.tensor(rows, dtype=torch.float64), name, out))
    assert done == [name]
    return out[name]
