"""Cells of markdown tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from benchmarks.suite.statistics import Interval


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; without rows, a sentence.

    >>> print(markdown(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return NOTHING
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines])


NOTHING = "No results yet."


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """With so many digits after the point; nothing where there is none.

    >>> number(0.12345), number(None), number(0.1, 2, sign=True)
    ('0.123', '', '+0.10')
    """
    if value is None or math.isnan(value):
        return ""
    return f"{value:{'+' if sign else ''}.{digits}f}"


def with_interval(found: tuple[float, Interval], digits: int = 2) -> str:
    """`1.21 [1.10, 1.32]`, or the number alone.

    >>> with_interval((1.2, (1.1, 1.3))), with_interval((1.2, None))
    ('1.20 [1.10, 1.30]', '1.20')
    """
    value, interval = found
    ends = "" if interval is None else f" [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"
    return f"{value:.{digits}f}{ends}"


def percent(value: float | None) -> str:
    """A share.

    >>> percent(0.0301), percent(0.5), percent(None)
    ('3.0 %', '50 %', '')
    """
    if value is None or math.isnan(value):
        return ""
    return f"{100 * value:.{1 if abs(value) < 0.0995 else 0}f} %"


def probability(value: float | None) -> str:
    """A p-value.

    >>> probability(0.0625), probability(0.00001), probability(None)
    ('0.06', '< 0.001', '')
    """
    if value is None:
        return ""
    if value < 0.001:
        return "< 0.001"
    return f"{value:.{2 if value >= 0.01 else 3}f}"


def amount(value: float | None) -> str:
    """A count with thousands, or seconds with three digits.

    >>> amount(16200.0), amount(3.2789), amount(None)
    ('16,200', '3.28', '')
    """
    if value is None or math.isnan(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def bold(cell: str, wanted: bool) -> str:
    """What is missed stands out.

    >>> bold("1.2", True), bold("1.2", False), bold("", True)
    ('**1.2**', '1.2', '')
    """
    return f"**{cell}**" if wanted and cell else cell


def folded(title: str, text: str) -> str:
    """A long table that opens when it is clicked on."""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"
