from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paretomerge.errors import RecipeError, WeightsError
from paretomerge.merging import (
    Averaging,
    ByPattern,
    Domain,
    PosteriorMerge,
    TaskArithmetic,
    Ties,
    WeightedSum,
    collect_inputs,
    merge,
    merge_blocks,
)
from paretomerge.posteriors import Dense

NAMES = ("embed.weight", "layers.0.w", "layers.0.b", "layers.1.w", "head.weight")


def params(seed):
    generator = torch.Generator().manual_seed(seed)
    random = {name: torch.randn(3, 2, generator=generator, dtype=torch.float64) for name in NAMES}
    return {"steps": torch.tensor(seed), **random}


BASE, TASKS = params(0), {"a": params(1), "b": params(2)}
WEIGHTS = [1.3, -0.2]
RULES = (TaskArithmetic(), TaskArithmetic(0.5), Ties(density=0.5), WeightedSum())


@dataclass(frozen=True)
class Dropping:
    """A rule, as far as its class variables go."""

    domain: ClassVar[Domain] = "coefficients"
    drops_at_random: ClassVar[bool] = True


def merged(rule, weights=WEIGHTS):
    return merge(TASKS, weights, rule=rule, base=BASE)


def equal(one, other):
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_one_rule_for_all_names_is_that_rule(rule):
    for by_pattern in (
        ByPattern((), rule),
        ByPattern((("*", rule),), TaskArithmetic(9.0)),
        ByPattern(tuple((name, rule) for name in NAMES), TaskArithmetic(9.0)),
        ByPattern((("layers.*", rule), ("[eh]*", rule)), TaskArithmetic(9.0)),
    ):
        assert equal(merged(by_pattern), merged(rule))


@settings(max_examples=40)
@given(
    patterns=st.lists(st.sampled_from(("layers.*", "*.weight", "*.b", "layers.?.w", *NAMES)), max_size=4, unique=True),
    data=st.data(),
)
def test_each_tensor_is_merged_by_the_rule_of_the_first_pattern_that_matches(patterns, data):
    first = {name: next((p for p in patterns if fnmatchcase(name, p)), None) for name in NAMES}
    patterns = [pattern for pattern in patterns if pattern in first.values()]
    rules = tuple((pattern, data.draw(st.sampled_from(RULES))) for pattern in patterns)
    default = data.draw(st.sampled_from(RULES))
    found = merged(ByPattern(rules, default))
    for name in NAMES:
        assert torch.equal(found[name], merged(dict(rules).get(first[name], default))[name])
    assert found["steps"] == 0


def test_blocks_keep_the_order_of_the_model():
    """What is read ahead is read in that order."""
    rule = ByPattern((("layers.0.*", Ties()), ("embed.*", WeightedSum())), TaskArithmetic())
    inputs = collect_inputs(TASKS, base=BASE)
    assert [name for name, _ in merge_blocks(inputs, WEIGHTS, rule)] == [*NAMES, "steps"]


def test_a_pattern_that_decides_nothing_is_refused():
    for rules, pattern in (
        ([("layer.*", Ties())], r"layer\.\*"),
        ([("layers.*", Ties()), ("layers.0.*", WeightedSum())], r"layers\.0\.\*"),
        ([("steps", Ties())], "steps"),
        ([("EMBED.weight", Ties())], "EMBED.weight"),
    ):
        message = f"no tensor of this merge is left for the rule of the pattern '{pattern}': check its spelling and the"
        with pytest.raises(RecipeError, match=message):
            merged(ByPattern(tuple(rules), TaskArithmetic()))


def test_rules_that_read_the_weights_differently_are_refused():
    with pytest.raises(WeightsError, match="some of the rules take task weights and some scaling coefficients"):
        ByPattern((("*", Averaging()),), TaskArithmetic())
    with pytest.raises(WeightsError, match="the same numbers cannot be both"):
        ByPattern((("*", Averaging()), ("x", TaskArithmetic())), Averaging())
    assert ByPattern((("*", Averaging()),), PosteriorMerge()).domain == "weights"
    assert ByPattern((("*", Ties()),), WeightedSum()).domain == "coefficients"


def test_a_rule_that_couples_all_parameters_takes_no_turns():
    mean = {"w": torch.ones(2)}
    posteriors = {task: Dense(mean, torch.eye(2)) for task in "ab"}
    for rule in (
        ByPattern((("w", Averaging()),), PosteriorMerge()),
        ByPattern((("w", PosteriorMerge()),), Averaging()),
    ):
        with pytest.raises(RecipeError, match="some couple all parameters: they cannot take turns"):
            merge(posteriors, [0.5, 0.5], rule=rule)


def test_what_a_rule_needs_is_needed_where_it_is_one_of_several():
    with pytest.raises(WeightsError, match="give `base`"):
        merge(TASKS, WEIGHTS, rule=ByPattern((("head.*", TaskArithmetic()),), WeightedSum()))
    assert not ByPattern((("head.*", WeightedSum()),), WeightedSum()).reads_base
    assert ByPattern((("head.*", TaskArithmetic()),), WeightedSum()).reads_base
    assert ByPattern((("head.*", WeightedSum()),), TaskArithmetic()).reads_base
    assert not ByPattern((("head.*", WeightedSum()),), TaskArithmetic()).drops_at_random
    assert ByPattern((("head.*", Dropping()),), TaskArithmetic()).drops_at_random
    assert ByPattern((("head.*", TaskArithmetic()),), Dropping()).drops_at_random


def test_it_prints_compares_and_hashes_by_its_settings():
    one, other = (ByPattern((("head.*", Ties()),), WeightedSum()) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert repr(one) == f"ByPattern(rules=(('head.*', {Ties()!r}),), default=WeightedSum())"
