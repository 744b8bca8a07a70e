"""Glob patterns of tensor names: matching them, and finding short ones for what a message advises."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from paretomerge.errors import AlignmentError


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name fits one of the patterns; `*` spans dots, `?` and `[…]` stand for one character.

    >>> matches_any("classifier.dense.weight", ["classifier.*"])
    True
    """
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def require_matches(option: str, patterns: Sequence[str], names: Collection[str], where: str) -> None:
    """Raise `AlignmentError` for a pattern that fits no name: a typing error would go unnoticed otherwise."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            prefixes = ", ".join(sorted({name.partition(".")[0] for name in names})[:8])
            raise AlignmentError(
                f"{option} {pattern!r}: no tensor of {where} has such a name; names start with {prefixes}"
            )


def group_by_pattern(names: Sequence[str], others: Collection[str]) -> dict[str, list[str]]:
    """Patterns that fit `names` and none of `others`, with the names that each stands for.

    The shortest prefix is taken that `others` do not share, with `*` for numbers of layers; a name that has none
    is its own pattern.

    >>> group_by_pattern(["cls.bias", "cls.dense.weight", "layer.0.gate", "layer.1.gate"], {"layer.0.up"})
    {'cls.*': ['cls.bias', 'cls.dense.weight'], 'layer.*.gate': ['layer.0.gate', 'layer.1.gate']}
    """
    taken = set(others) - set(names)
    begun = {prefix for name in taken for prefix in _prefixes(_starred(name))}
    groups: dict[str, list[str]] = {}
    for name in names:
        known = next((pattern for pattern in groups if fnmatchcase(name, pattern)), None)
        if known is None:
            known = next(
                (
                    pattern
                    for pattern, prefix in _candidates(name)
                    if prefix not in begun and not any(fnmatchcase(other, pattern) for other in taken)
                ),
                glob.escape(name),
            )
        groups.setdefault(known, []).append(name)
    return groups


def _candidates(name: str) -> Iterator[tuple[str, str | None]]:
    starred = _starred(name)
    for prefix in _prefixes(starred):
        yield f"{prefix}.*", prefix
    if starred != glob.escape(name):
        yield starred, None


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts)))


def _starred(name: str) -> str:
    """The name with `*` for its numbers, other special characters escaped."""
    return ".".join("*" if part.isdecimal() else glob.escape(part) for part in name.split("."))
