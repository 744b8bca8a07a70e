"""Shapes that a file claims: which of them a tensor library can hold at all."""

from __future__ import annotations

from collections.abc import Sequence

LARGEST_NUMBER = 1 << 62  # of a length, of the elements, or of an offset: beyond it no tensor library counts
MOST_DIMENSIONS = 64  # beyond it not every operation of a tensor library works


def can_be_counted(shape: Sequence[int]) -> bool:
    """Whether tensor libraries, which count in 64 bits, can hold a shape; lengths of zero do not hide the others.

    >>> can_be_counted((0, 3)), can_be_counted((1 << 40, 1 << 40, 0))
    (True, False)
    """
    elements = 1
    for length in shape[: MOST_DIMENSIONS + 1]:
        elements *= max(length, 1)
        if elements >= LARGEST_NUMBER:
            return False
    return len(shape) <= MOST_DIMENSIONS
