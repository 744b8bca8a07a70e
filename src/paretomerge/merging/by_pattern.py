"""Different rules for different tensors, by patterns of their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from paretomerge.errors import RecipeError, WeightsError
from paretomerge.merging.base import Domain, Inputs, MergeRule, Outputs
from paretomerge.types import Patterns


@dataclass(frozen=True)
class ByPattern:
    """The first pattern that matches a tensor's name decides the rule, else the default.

    Args:
        rules: shell pattern (`*`, `?`, `[…]`) and rule, in order; all rules read weights in the same way.
        default: the rule of every other tensor.

    Raises:
        WeightsError: rules of which some take weights and some coefficients.
    """

    rules: tuple[tuple[str, MergeRule], ...]
    default: MergeRule

    def __post_init__(self) -> None:
        """One meaning of the weights."""
        domains = {rule.domain for rule in self._all}
        if len(domains) > 1:
            raise WeightsError(
                "some of the rules take task weights and some scaling coefficients: the same numbers cannot be both"
            )

    @property
    def domain(self) -> Domain:
        """That of the rules."""
        return self.default.domain

    @property
    def reads_base(self) -> bool:
        """Whether one of the rules needs the base model."""
        return any(getattr(rule, "reads_base", True) for rule in self._all)

    @property
    def drops_at_random(self) -> bool:
        """Whether one of the rules draws random numbers."""
        return any(getattr(rule, "drops_at_random", False) for rule in self._all)

    @property
    def _all(self) -> tuple[MergeRule, ...]:
        return (self.default, *(rule for _, rule in self.rules))

    def prepare(self, inputs: Inputs) -> _States:
        """Every rule by itself.

        Raises:
            RecipeError: a pattern that decides nothing, or rules that work on different blocks.
        """
        states = tuple(rule.prepare(inputs) for rule in self._all)
        blocks, *others = (rule.blocks(state) for rule, state in zip(self._all, states, strict=True))
        if any(set(other) != set(blocks) for other in others):
            raise RecipeError(
                "some of the rules merge tensor by tensor and some couple all parameters: they cannot take turns"
            )
        patterns = Patterns(pattern for pattern, _ in self.rules)
        chosen = {block: patterns.first(block) for block in blocks}
        used = set(chosen.values())
        for number, (pattern, _) in enumerate(self.rules, start=1):
            if number not in used:
                raise RecipeError(
                    f"no tensor of this merge is left for the rule of the pattern {pattern!r}: check its spelling and "
                    "the order of the patterns (the first that matches wins)"
                )
        return _States(states, chosen)

    def blocks(self, state: _States) -> Sequence[str]:
        """Those that all rules have, in the order of the default's."""
        return list(state.chosen)

    def merge_block(self, state: _States, values: Tensor, block: str, out: Outputs) -> Iterator[str]:
        """As the chosen rule does."""
        number = state.chosen[block]
        yield from self._all[number].merge_block(state.states[number], values, block, out)


@dataclass(frozen=True, eq=False)
class _States:
    """The prepared rules, and which of them each block belongs to."""

    states: tuple[Any, ...]
    chosen: Mapping[str, int]
