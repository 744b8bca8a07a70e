"""Order of magnitudes along rows, and random choices by rank."""

from __future__ import annotations

import sys

import numpy as np

ROW_INDEX = 0 if sys.byteorder == "little" else 1


def ascending_order(magnitudes: np.ndarray) -> np.ndarray:
    """Places of each row's entries `[R, C]` in ascending order; equal ones in the order of memory.

    A magnitude in float32 and its place are the two halves of one integer, and integers are sorted by the fastest
    sort there is: an order by `argsort` costs three to ten times as much.
    """
    if magnitudes.dtype != np.float32:
        return np.argsort(magnitudes, axis=1, kind="stable")
    keys = np.empty(magnitudes.shape, dtype=np.uint64)
    halves = keys.view(np.uint32).reshape(*magnitudes.shape, 2)
    halves[..., ROW_INDEX] = np.arange(magnitudes.shape[1], dtype=np.uint32)
    halves[..., 1 - ROW_INDEX] = magnitudes.view(np.uint32)
    keys.sort(axis=1)
    return halves[..., ROW_INDEX]


def keep_by_rank(magnitudes: np.ndarray, units: np.ndarray, lanes: np.ndarray) -> np.ndarray:
    """Keep the entry of rank `r` in its row, the smallest being at 0, with probability `units[r] / 2^16`.

    Args:
        magnitudes: `[R, C]`.
        units: `C` whole numbers from 1 to 65536.
        lanes: `R · C` random numbers from 0 to 65535.

    Returns:
        `[R, C]`, 1 where an entry is kept, else 0.
    """
    rows, columns = magnitudes.shape
    chosen = lanes.reshape(rows, columns) <= (units - 1).astype(np.uint16)
    places = ascending_order(magnitudes) + np.arange(0, rows * columns, columns, dtype=np.int64)[:, None]
    kept = np.empty(rows * columns, dtype=np.uint8)
    kept[places.reshape(-1)] = chosen.reshape(-1)
    return kept.reshape(rows, columns)
