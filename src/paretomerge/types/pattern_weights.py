"""Weights that differ between the tensors of a model: a default, and patterns of names with their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from paretomerge.types.patterns import Patterns


@dataclass(frozen=True, eq=False)
class PatternWeights:
    """Weights by tensor name: the first pattern that matches wins, else the default.

    Args:
        default: weights as `merge` takes them: a mapping task → weight, `[T]`, `[K, T]`, `Weights` or `Coefficients`.
        patterns: shell pattern of the tensor's name (`*`, `?`, `[…]`) → weights; as many weightings as the default.

    >>> weights = PatternWeights({"a": 0.5, "b": 0.5}, {"layers.0.*": {"a": 1.0, "b": 0.0}})
    >>> weights.index("layers.0.weight"), weights.index("head.weight")
    (1, 0)
    """

    default: Any
    patterns: Mapping[str, Any] = field(default_factory=dict)

    def index(self, name: str) -> int:
        """0 for the default, `1 + i` for the pattern number `i`."""
        return self._order.first(name)

    @cached_property
    def _order(self) -> Patterns:
        return Patterns(self.patterns)
