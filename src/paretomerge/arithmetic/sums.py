"""Weighted sums of tiles: `values [K, S] @ tiles [S, n]`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

MOST_TERMS = 16  # beyond, one matrix product is faster than a call for each term
ROWS_AT_ONCE = 4  # of the product: measured, more rows are slower because the tiles of the output leave the cache


def weighted_sum(values: Tensor, tiles: Sequence[Tensor], out: Tensor) -> None:
    """`out[k] = Σ_s values[k, s] · tiles[s]` for `K` rows at once.

    One row is added up term by term, in the order of `tiles`; several rows are one matrix product, so that the
    tiles are read once.

    Args:
        values: `[K, S]`.
        tiles: `S` vectors `[n]` of the dtype of `out`.
        out: `[K, n]`, overwritten; rows may have any distance in memory.
    """
    if len(values) == 1 and len(tiles) <= MOST_TERMS:
        row, weights = out[0], values[0].tolist()
        torch.mul(tiles[0], weights[0], out=row)
        for weight, tile in zip(weights[1:], tiles[1:], strict=True):
            row.add_(tile, alpha=weight)
        return
    stacked, factors = _stacked(tiles), values.to(dtype=out.dtype, device=out.device)
    for start in range(0, len(factors), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        torch.mm(factors[rows], stacked, out=out[rows])


def _stacked(tiles: Sequence[Tensor]) -> Tensor:
    """`[S, n]`; without a copy where the tiles are the same columns of consecutive rows of one matrix."""
    first, whole = tiles[0], tiles[0]._base
    if whole is None or whole.ndim != 2 or not (whole.is_contiguous() and all(tile.stride(0) == 1 for tile in tiles)):
        return torch.stack(list(tiles))
    step = whole.shape[1] * first.element_size()
    rows = (tile._base is whole and tile.data_ptr() == first.data_ptr() + k * step for k, tile in enumerate(tiles))
    if not all(rows):
        return torch.stack(list(tiles))
    return first.as_strided((len(tiles), len(first)), (whole.shape[1], 1))
