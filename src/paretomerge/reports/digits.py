"""Sensible digits: as many decimals as the uncertainty supports, the same for a whole column.

`template/digits.js` holds the same two functions for the page; a test compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

MOST_DECIMALS = 8
LARGEST_PLAIN = 1e9
MISSING = "-"


def decimals_for(values: Iterable[float], half_widths: Iterable[float] = ()) -> int:
    """Decimals for a column of numbers.

    Two significant digits of the median half-width of its intervals; for exact numbers, three significant
    digits of their spread. More than `MOST_DECIMALS` means that the column wants exponents.

    >>> decimals_for([0.3124, 0.2987], [0.011, 0.013])
    3
    >>> decimals_for([0.0, 0.25, 1.0])
    2
    """
    known = np.array([value for value in values if math.isfinite(value)], dtype=np.float64)
    widths = np.array([width for width in half_widths if math.isfinite(width) and width > 0])
    if len(widths):
        return max(0, 1 - math.floor(math.log10(float(np.median(widths)))))
    if not len(known):
        return 0
    spread = float(known.max() - known.min())
    size = float(np.abs(known).max())
    scale = spread if spread > 1e-9 * size else size
    return max(0, 2 - math.floor(math.log10(scale))) if scale > 0 else 0


def show(value: float | None, decimals: int) -> str:
    """`value` with that many decimals, thousands separated; exponents when it is huge or too fine.

    >>> show(12345.678, 1), show(1.25e-12, 14), show(None, 2)
    ('12,345.7', '1.25e-12', '-')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if decimals > MOST_DECIMALS or abs(value) >= LARGEST_PLAIN:
        return f"{value:.2e}"
    text = f"{value:,.{decimals}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text


def show_interval(value: float | None, half_width: float | None, decimals: int) -> str:
    """`value ± half_width`; the value alone when it is exact.

    >>> show_interval(0.31243, 0.0112, 3)
    '0.312 ± 0.011'
    """
    if not half_width or not math.isfinite(half_width):
        return show(value, decimals)
    return f"{show(value, decimals)} ± {show(half_width, decimals)}"
