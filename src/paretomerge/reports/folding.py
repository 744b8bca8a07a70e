"""Sentences that say the same of several things → one sentence that names them all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"


def folded(sentences: Sequence[str], names: Iterable[str]) -> list[tuple[str, list[int]]]:
    """`sentences`, those that differ in a name and in numbers only as one, in order of first appearance.

    Args:
        sentences: to fold.
        names: of tasks and objectives.

    Returns:
        each sentence, and which of the given ones it stands for.

    >>> folded(["a: R² -0.2, take more", "quick", "b: R² -0.6, take more"], ["a", "b"])
    [('a and b: R² -0.2 and -0.6, take more', [0, 2]), ('quick', [1])]
    """
    pattern = _pattern(names)
    groups: dict[tuple[str, ...], dict[int, list[str]]] = {}
    for number, sentence in enumerate(sentences):
        parts = pattern.split(sentence)
        # Texts at even places, names and numbers at odd ones.
        kinds = ("#" if re.fullmatch(_NUMBER, part) else "@" for part in parts[1::2])
        skeleton = tuple(part for pair in zip(parts[::2], [*kinds, ""], strict=True) for part in pair)
        groups.setdefault(skeleton, {})[number] = parts
    found = []
    for alike in groups.values():
        several = list(alike.values())
        named = any(len({parts[place] for parts in several}) > 1 for place in _names(several[0]))
        if named or len({tuple(parts) for parts in several}) == 1:
            whole = "".join(_joined([parts[place] for parts in several]) for place in range(len(several[0])))
            found.append((whole, list(alike)))
        else:  # the same with other numbers: two facts of one thing
            found += [("".join(parts), [number]) for number, parts in alike.items()]
    return found


def _pattern(names: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted({name for name in names if name}, key=len, reverse=True)
    words = "|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in longest_first)
    numbers = rf"(?<![\w.]){_NUMBER}(?![\w])"
    return re.compile(f"({words}|{numbers})" if words else f"({numbers})")


def _names(parts: Sequence[str]) -> list[int]:
    return [place for place in range(1, len(parts), 2) if not re.fullmatch(_NUMBER, parts[place])]


def _joined(parts: Sequence[str]) -> str:
    """One text where all agree, else `a, b and c`."""
    different = list(parts) if len(set(parts)) > 1 else list(parts[:1])
    return different[0] if len(different) == 1 else ", ".join(different[:-1]) + " and " + different[-1]
