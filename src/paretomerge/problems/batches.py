"""Token lists to batches, each padded to its own longest text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from paretomerge.curvature.likelihoods import UNLABELLED
from paretomerge.types import Batch


@dataclass(frozen=True, eq=False)
class Encoded:
    """Texts as token numbers.

    Args:
        tokens: of each text.
        targets: the class of each text, or a target for every token.
        segments: which part of a pair each token is of, for models that tell them apart.
    """

    tokens: Sequence[Sequence[int]]
    targets: Sequence[int] | Sequence[Sequence[int]]
    segments: Sequence[Sequence[int]] | None = None


def make_batches(encoded: Encoded, size: int, padding: int, *, by_length: bool) -> list[Batch]:
    """Batches of up to `size` texts.

    Args:
        encoded: the texts, in a random order.
        size: texts per batch.
        padding: the token that fills up.
        by_length: see `group_rows`.
    """
    groups = group_rows([len(row) for row in encoded.tokens], size, by_length=by_length)
    return [_batch(encoded, group, padding) for group in groups]


def group_rows(lengths: Sequence[int], size: int, *, by_length: bool) -> list[list[int]]:
    """Which texts go together into batches of up to `size`, in the order of the batches.

    Args:
        lengths: tokens of each text, in a random order of texts.
        size: texts per batch.
        by_length: whether texts of like length go together, so that little is padding, in batches that come in a
            random order; else the order stays, and the first batches are a random sample of the texts.
    """
    order = list(range(len(lengths)))
    if by_length:
        order.sort(key=lengths.__getitem__)
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    if by_length:
        groups = [groups[i] for i in np.random.default_rng(len(order)).permutation(len(groups))]
    return groups


def _batch(encoded: Encoded, group: Sequence[int], padding: int) -> Batch:
    tokens = [encoded.tokens[i] for i in group]
    inputs = {"input_ids": _padded(tokens, padding), "attention_mask": _padded([[1] * len(row) for row in tokens], 0)}
    if encoded.segments is not None:
        inputs["token_type_ids"] = _padded([encoded.segments[i] for i in group], 0)
    targets = [encoded.targets[i] for i in group]
    if targets and isinstance(targets[0], Sequence):
        return inputs, _padded([row for row in targets if isinstance(row, Sequence)], UNLABELLED)
    return inputs, torch.tensor(targets, dtype=torch.long)


def _padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    filled = torch.full((len(rows), max(map(len, rows))), filler, dtype=torch.long)
    for number, row in enumerate(rows):
        filled[number, : len(row)] = torch.tensor(list(row), dtype=torch.long)
    return filled
