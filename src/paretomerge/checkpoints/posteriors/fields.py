"""Entries of a description that somebody else wrote: the right type, or `ValueError` with what is wrong.

Nothing of a file is trusted: the reader turns every `ValueError` into one message that names the file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def entry(content: Any, key: str) -> Any:
    """`content[key]` of a mapping."""
    if not isinstance(content, Mapping):
        raise ValueError(f"expected a mapping with {key!r}, got {type(content).__name__}")
    if key not in content:
        raise ValueError(f"{key!r} is missing")
    return content[key]


def text(value: Any, what: str) -> str:
    """A text that can be written and shown."""
    if not isinstance(value, str):
        raise ValueError(f"{what} must be text, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} is not valid text") from None
    return value


def number(value: Any, what: str) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{what} must be a number, got {type(value).__name__}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ValueError(f"{what} must be finite")
    return found


def flag(value: Any, what: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{what} must be true or false, got {type(value).__name__}")
    return value


def row(value: Any, what: str, length: int | None = None) -> list[Any]:
    """A list, of `length` entries where that is given."""
    if not isinstance(value, list) or length not in (None, len(value)):
        raise ValueError(f"{what} must be a list" + ("" if length is None else f" of {length} entries"))
    return value


def table(value: Any, what: str) -> Mapping[str, Any]:
    """A mapping; JSON makes its keys text."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} must be a mapping, got {type(value).__name__}")
    return value
