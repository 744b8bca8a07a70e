"""Texts of a task divided among splits: nothing occurs twice, and what belongs together stays together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.assets.texts import Labelled

COMPARED = 40
"""Words by which texts are told apart: beyond them a model of short inputs sees nothing."""


@dataclass(frozen=True)
class Divided:
    """Texts and classes of one split."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]

    def first(self, count: int) -> Divided:
        """Fewer of them; they are in a random order."""
        return Divided(self.texts[:count], self.labels[:count])


def divide(found: Labelled, sizes: Mapping[str, int], seed: Sequence[int]) -> dict[str, Divided]:
    """Split → texts, filled in the order of `sizes` by whole groups in a random order.

    A text with two labels is left out, and one that occurs twice is there once; a group that reaches beyond the end of
    a split is cut, and its remainder is in no split.
    """
    rng = np.random.default_rng(seed)
    groups = _groups(found)
    queue = [groups[place] for place in rng.permutation(len(groups))]
    splits = {}
    for split, size in sizes.items():
        rows: list[int] = []
        while queue and len(rows) < size:
            rows += queue.pop()
        chosen = [rows[place] for place in rng.permutation(len(rows))[:size]]
        splits[split] = Divided(tuple(found.texts[i] for i in chosen), tuple(found.labels[i] for i in chosen))
    return splits


def key_of(text: str) -> str:
    """Equal for texts that differ in case, punctuation, or late."""
    return " ".join(re.findall(r"\w+", text.lower())[:COMPARED]) or text.strip()


def _groups(found: Labelled) -> list[list[int]]:
    """Rows of each group, without contradictions and repetitions."""
    labels: dict[str, set[int]] = {}
    keys = [key_of(text) for text in found.texts]
    for key, label in zip(keys, found.labels, strict=True):
        labels.setdefault(key, set()).add(label)
    groups: dict[str, list[int]] = {}
    seen: set[str] = set()
    for row, (key, group) in enumerate(zip(keys, found.groups, strict=True)):
        if len(labels[key]) == 1 and key not in seen:
            seen.add(key)
            groups.setdefault(group, []).append(row)
    return list(groups.values())
