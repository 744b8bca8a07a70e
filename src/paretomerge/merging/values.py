"""Weights as a rule reads them: one matrix `[K, T]` for every block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paretomerge.errors import WeightsError
from paretomerge.merging.base import Inputs, MergeRule
from paretomerge.types import Coefficients, PatternWeights, Weights


def as_values(weights: Any, inputs: Inputs, rule: MergeRule) -> np.ndarray:
    """Weights or coefficients in task order, `[K, T]`, checked against the rule's domain."""
    if rule.domain == "coefficients":
        batch = Coefficients.of(weights, inputs.tasks).batch
        if batch.shape[1] != 1:
            raise WeightsError(f"{type(rule).__name__} takes one coefficient per task, got {batch.shape[1]} groups")
        return batch[:, 0]
    if isinstance(weights, Coefficients):
        raise WeightsError(f"{type(rule).__name__} takes task weights, got scaling coefficients")
    return Weights.of(weights, inputs.tasks, on_simplex=inputs.prior is None).batch


class BlockValues:
    """`block → [K, T]`: the same for every block, or by patterns of its name.

    Raises:
        WeightsError: weights outside the rule's domain, as many weightings in one pattern as in another not, or a
            pattern that no block matches.
    """

    def __init__(self, weights: Any, inputs: Inputs, rule: MergeRule) -> None:
        """Check all weights at once, before anything is merged."""
        patterned = weights if isinstance(weights, PatternWeights) else PatternWeights(weights)
        self._patterned = patterned
        self._tables = [_table(each, inputs, rule) for each in (patterned.default, *patterned.patterns.values())]
        self.count = len(self._tables[0])
        for pattern, table in zip(patterned.patterns, self._tables[1:], strict=True):
            if len(table) != self.count:
                raise WeightsError(f"the pattern {pattern!r} has {len(table)} weightings, the default {self.count}")

    def require_used(self, blocks: Mapping[str, tuple[str, ...]] | list[str]) -> None:
        """Raise `WeightsError` for a pattern that no block matches."""
        used = {self._patterned.index(block) for block in blocks}
        for number, pattern in enumerate(self._patterned.patterns, start=1):
            if number not in used:
                raise WeightsError(
                    f"no block of this merge is left for the pattern {pattern!r}: check its spelling and the order of "
                    "the patterns (the first that matches wins). Rules that couple all parameters have one block only "
                    "and take no patterns"
                )

    def __getitem__(self, block: str) -> Tensor:
        """The weightings of one block, `[K, T]`."""
        return self._tables[self._patterned.index(block)]


def is_single(weights: Any) -> bool:
    """Whether `weights` is one weighting (a mapping or a vector) rather than a batch."""
    if isinstance(weights, PatternWeights):
        return is_single(weights.default)
    if isinstance(weights, Weights):
        return weights.values.ndim == 1
    if isinstance(weights, Coefficients):
        return weights.values.ndim == 2
    return isinstance(weights, Mapping) or np.ndim(weights) == 1


def _table(weights: Any, inputs: Inputs, rule: MergeRule) -> Tensor:
    return torch.from_numpy(as_values(weights, inputs, rule).copy())
