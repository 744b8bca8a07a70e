"""From resolved parameters to merge rules and coefficients, one of each per tensor, then as few as say the same.

Shapes: `T` tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from glob import escape
from typing import Any

from paretomerge.errors import RecipeError
from paretomerge.merging import (
    Averaging,
    Breadcrumbs,
    ByPattern,
    Dare,
    Della,
    MergeRule,
    Slerp,
    TaskArithmetic,
    Ties,
    WeightedSum,
)
from paretomerge.types import PatternWeights

ELECTING = frozenset({"dare_ties", "della", "breadcrumbs_ties"})
# Tensor → rule, tensor → weights, warnings.
Translated = tuple[dict[str, MergeRule], dict[str, tuple[float, ...]], list[str]]
# mergekit divides by sums of weights only when they are farther from zero than this.
SMALLEST_TOTAL = 1e-8


@dataclass(frozen=True)
class Values:
    """The parameters of one tensor: shared ones by name, and task → those of its model by name."""

    shared: Mapping[str, Any]
    per_task: Mapping[str, Mapping[str, Any]]

    def of(self, name: str) -> list[float]:
        """One parameter for every task, `T` numbers."""
        return [values[name] for values in self.per_task.values()]

    def compact(self, name: str) -> Any:
        """One number where all tasks agree, else task → number."""
        found = self.of(name)
        return found[0] if len(set(found)) == 1 else dict(zip(self.per_task, found, strict=True))


@dataclass(frozen=True)
class MergekitPlan:
    """What is done to each tensor.

    Args:
        tasks: the `T` tasks, the order of every weight vector.
        rules: tensor → merge rule.
        weights: tensor → `T` weights or coefficients, whichever the rule takes.
        warnings: what the configuration asks for and does not get, and what had no effect in mergekit either.
    """

    tasks: tuple[str, ...]
    rules: Mapping[str, MergeRule]
    weights: Mapping[str, tuple[float, ...]]
    warnings: tuple[str, ...] = ()

    @property
    def rule(self) -> MergeRule:
        """All rules as one: the rule itself where they are equal, else `ByPattern`."""
        default, patterns = compress(self.rules, repr)
        return ByPattern(tuple(patterns), default) if patterns else default

    @property
    def weighting(self) -> dict[str, float] | PatternWeights:
        """All weights as one: task → weight where they are equal, else by patterns of the tensor names."""
        default, patterns = compress(self.weights, tuple)
        if not patterns:
            return self._named(default)
        return PatternWeights(self._named(default), {pattern: self._named(row) for pattern, row in patterns})

    def _named(self, row: tuple[float, ...]) -> dict[str, float]:
        return dict(zip(self.tasks, row, strict=True))


def translate(method: str, values: Mapping[str, Values], seed: int) -> Translated:
    """Rules, weights and warnings of all tensors.

    Raises:
        RecipeError: values the rule does not take.
    """
    if method == "linear":
        return _linear(values)
    rules: dict[str, MergeRule] = {}
    weights, warnings = {}, []
    for tensor, found in values.items():
        if method == "slerp":
            rules[tensor], weights[tensor] = Slerp(), _slerp_weights(found, tensor)
        else:
            rules[tensor] = _task_arithmetic(method, found, tensor, seed)
            weights[tensor] = tuple(found.of("weight"))
    if any(found.shared.get("int8_mask") for found in values.values()):
        warnings.append("int8_mask has no effect: it saves memory in mergekit and changes no result")
    if method.startswith(("dare", "della")) and any(min(found.of("density")) < 1 for found in values.values()):
        warnings.append(f"{method} drops elements at random, and mergekit draws others: results agree in the mean only")
    return rules, weights, warnings


def compress(values: Mapping[str, Any], key: Callable[[Any], Hashable]) -> tuple[Any, list[tuple[str, Any]]]:
    """The most frequent value, and patterns of names with the others: `model.layers.3.*` where a whole branch agrees.

    >>> compress({"layers.0.w": 1, "layers.1.w": 2, "layers.1.b": 2, "norm": 1}, int)
    (1, [('layers.1.*', 2)])
    """
    counts = Counter(key(value) for value in values.values())
    frequent = counts.most_common(1)[0][0]
    default = next(value for value in values.values() if key(value) == frequent)
    held: dict[str, set[Hashable]] = {}
    for name, value in values.items():
        for branch in _branches(name):
            held.setdefault(branch, set()).add(key(value))
    patterns: dict[str, Any] = {}
    for name, value in values.items():
        if key(value) != frequent:
            whole = next((branch for branch in _branches(name) if len(held[branch]) == 1), None)
            patterns[escape(name) if whole is None else f"{escape(whole)}*"] = value
    return default, list(patterns.items())


def _branches(name: str) -> list[str]:
    """`a.b.c` → `a.`, `a.b.`."""
    parts = name.split(".")
    return [".".join(parts[:depth]) + "." for depth in range(1, len(parts))]


def _linear(values: Mapping[str, Values]) -> Translated:
    weights = {tensor: _linear_weights(found, tensor) for tensor, found in values.items()}
    # An average everywhere is kept as one: its weights are task weights, of which fronts and cards can speak.
    average = all(found.shared["normalize"] for found in values.values()) and all(
        weight >= 0 for row in weights.values() for weight in row
    )
    rule: MergeRule = Averaging() if average else WeightedSum()
    return dict.fromkeys(values, rule), weights, []


def _linear_weights(found: Values, tensor: str) -> tuple[float, ...]:
    weights = found.of("weight")
    total = sum(weights)
    if not found.shared["normalize"] or abs(total - 1) <= 1e-12:
        return tuple(weights)
    if abs(total) <= 1e-12:
        raise RecipeError(
            f"the weights of the tensor {tensor} sum to zero and are to be normalised: set normalize: false"
        )
    return tuple(weight / total for weight in weights)


def _slerp_weights(found: Values, tensor: str) -> tuple[float, ...]:
    t = found.shared["t"]
    if not 0 <= t <= 1:
        raise RecipeError(f"t is {t:g} for the tensor {tensor}: slerp goes from the base (0) to the other model (1)")
    return (1 - t, t)


def _task_arithmetic(method: str, found: Values, tensor: str, seed: int) -> MergeRule:
    scale, rescale = found.shared["lambda"], found.shared["rescale"]
    normalize = found.shared["normalize"]
    if method not in ELECTING and method != "ties":
        normalize = normalize and abs(sum(found.of("weight"))) >= SMALLEST_TOTAL
    if method == "task_arithmetic":
        return TaskArithmetic(scale=scale, normalize=normalize)
    density = _density(found, tensor)
    if method == "ties":
        _require_no_rescale(method, found)
        return Ties(density=density, scale=scale, normalize=normalize)
    settings = {"density": density, "scale": scale, "elect_signs": method in ELECTING, "normalize": normalize}
    if method.startswith("breadcrumbs"):
        _require_no_rescale(method, found)
        return Breadcrumbs(gamma=found.compact("gamma"), **settings)
    if method.startswith("della"):
        return Della(epsilon=found.compact("epsilon"), rescale=rescale, seed=seed, **settings)
    return Dare(rescale=rescale, seed=seed, **settings)


def _density(found: Values, tensor: str) -> Any:
    for task, value in zip(found.per_task, found.of("density"), strict=True):
        if not value > 0:
            raise RecipeError(
                f"the density of {task!r} is {value:g} for the tensor {tensor}: it is the share of elements to keep, "
                "in (0, 1]; to leave a model out give it weight 0"
            )
    density = found.compact("density")
    return (
        {task: min(value, 1.0) for task, value in density.items()} if isinstance(density, dict) else min(density, 1.0)
    )


def _require_no_rescale(method: str, found: Values) -> None:
    if found.shared["rescale"] and min(found.of("density")) < 1:
        raise RecipeError(f"rescale is not supported with {method}: remove it (mergekit's default is false)")
