"""Weights that differ between tensors."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paretomerge.errors import WeightsError
from paretomerge.merging import Averaging, BlockValues, PosteriorMerge, TaskArithmetic, collect_inputs, merge
from paretomerge.posteriors import Dense, Diagonal, Isotropic
from paretomerge.types import Coefficients, PatternWeights, Weights

NAMES = ("embed.weight", "layers.0.w", "layers.1.w", "head.weight")


def params(seed):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(5, generator=generator, dtype=torch.float64) for name in NAMES}


TASKS = {"a": params(1), "b": params(2), "c": params(3)}
POSTERIORS = {
    task: Diagonal(mean, {name: tensor.square() + 0.1 for name, tensor in params(ord(task)).items()})
    for task, mean in TASKS.items()
}
ONE, OTHER, THIRD = [0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.1, 0.9, 0.0]


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in NAMES)


@pytest.mark.parametrize("rule", [Averaging(), PosteriorMerge()], ids=repr)
def test_one_pattern_for_all_names_is_the_plain_merge(rule):
    plain = merge(POSTERIORS, ONE, rule=rule)
    for patterns in ({}, {"*": ONE}, dict.fromkeys(NAMES, ONE), {"layers.*": ONE, "*.weight": ONE}):
        default = ONE if patterns in ({}, {"layers.*": ONE, "*.weight": ONE}) else OTHER
        assert equal(merge(POSTERIORS, PatternWeights(default, patterns), rule=rule), plain)


@settings(max_examples=40)
@given(
    patterns=st.dictionaries(
        st.sampled_from(("layers.*", "*.weight", "layers.?.w", "[eh]*", *NAMES)),
        st.sampled_from((ONE, OTHER, THIRD)),
        max_size=4,
    )
)
def test_each_tensor_has_the_weights_of_the_first_pattern_that_matches(patterns):
    first = {name: next((p for p in patterns if fnmatchcase(name, p)), None) for name in NAMES}
    patterns = {pattern: weights for pattern, weights in patterns.items() if pattern in first.values()}
    found = merge(POSTERIORS, PatternWeights(ONE, patterns))
    for name in NAMES:
        assert torch.equal(found[name], merge(POSTERIORS, patterns.get(first[name], ONE))[name])


def test_patterns_take_weights_in_every_form():
    plain = merge(TASKS, PatternWeights(ONE, {"head.*": OTHER}))
    named = {"c": 0.0, "a": 1.0, "b": 0.0}
    for weights in (named, torch.tensor(OTHER), Weights(("c", "b", "a"), [0.0, 0.0, 1.0])):
        assert equal(merge(TASKS, PatternWeights({"b": 0.3, "a": 0.2, "c": 0.5}, {"head.*": weights})), plain)
    coefficients = Coefficients(("b", "a", "c"), [[-1.0, 2.0, 0.0]])
    found = merge(TASKS, PatternWeights(ONE, {"head.*": coefficients}), rule=TaskArithmetic(), base=params(0))
    expected = merge(TASKS, [2.0, -1.0, 0.0], rule=TaskArithmetic(), base=params(0))
    assert torch.equal(found["head.weight"], expected["head.weight"])


def test_several_weightings_go_through_all_patterns_at_once():
    found = merge(POSTERIORS, PatternWeights([ONE, OTHER], {"head.*": [THIRD, ONE]}))
    assert isinstance(found, list)
    for k, (default, head) in enumerate(((ONE, THIRD), (OTHER, ONE))):
        single = merge(POSTERIORS, PatternWeights(default, {"head.*": head}))
        assert all(torch.allclose(found[k][name], single[name], rtol=1e-12) for name in NAMES)


@pytest.mark.parametrize("pattern", ["heads.*", "HEAD.*", "head", "steps", "w"])
def test_a_pattern_that_no_tensor_matches_is_refused(pattern):
    with pytest.raises(WeightsError, match=f"no block of this merge is left for the pattern '{pattern}"):
        merge(TASKS, PatternWeights(ONE, {pattern: OTHER}))


def test_a_pattern_behind_one_that_takes_all_its_tensors_is_refused():
    with pytest.raises(WeightsError, match=r"pattern 'head\.weight': check its spelling and the order of the patterns"):
        merge(TASKS, PatternWeights(ONE, {"*.weight": OTHER, "head.weight": THIRD}))


def test_a_coupled_posterior_takes_no_patterns():
    posteriors = {task: Dense({"w": torch.ones(2)}, torch.eye(2)) for task in "ab"}
    with pytest.raises(WeightsError, match="Rules that couple all parameters have one block only and take no patterns"):
        merge(posteriors, PatternWeights([0.5, 0.5], {"w": [1.0, 0.0]}))


@pytest.mark.parametrize(
    ("default", "own", "message"),
    [
        (ONE, [ONE, OTHER], r"the pattern 'head\.\*' has 2 weightings, the default 1"),
        ([ONE, OTHER, ONE], [ONE], r"the pattern 'head\.\*' has 1 weightings, the default 3"),
        (ONE, [0.5, 0.5], "there are 3 tasks"),
        (ONE, [0.5, 0.6, 0.0], "weights sum to 1.1"),
        (ONE, [1.5, -0.5, 0.0], "weights are negative"),
        (ONE, {"a": 1.0}, "no weight for task 'b'"),
        (ONE, Coefficients(("a", "b", "c"), [ONE]), "PosteriorMerge takes task weights, got scaling coefficients"),
        ([0.5, 0.5, 0.5], ONE, "weights sum to 1.5"),
    ],
)
def test_every_row_of_weights_is_checked_as_that_of_a_plain_merge(default, own, message):
    with pytest.raises(WeightsError, match=message):
        merge(TASKS, PatternWeights(default, {"head.*": own}))


def test_a_prior_lifts_the_simplex_in_patterns_too():
    prior = Isotropic(params(0))
    found = merge(TASKS, PatternWeights(ONE, {"head.*": [0.0, 0.0, 0.0]}), prior=prior)
    assert torch.equal(found["head.weight"], prior.mean["head.weight"])


def test_block_values_are_float64_rows_in_task_order():
    inputs = collect_inputs(TASKS)
    values = BlockValues(PatternWeights({"b": 0.3, "a": 0.2, "c": 0.5}, {"x": [THIRD]}), inputs, Averaging())
    assert values.count == 1
    assert values["anything"].dtype == torch.float64
    assert values["anything"].tolist() == [ONE]
    assert values["x"].tolist() == [THIRD]
    values.require_used(["x", "y"])
    with pytest.raises(WeightsError, match="'x'"):
        values.require_used(["y"])


def test_changing_the_weights_afterwards_changes_nothing():
    given = torch.tensor([ONE], dtype=torch.float64)
    values = BlockValues(given, collect_inputs(TASKS), Averaging())
    given.zero_()
    assert values["w"].tolist() == [ONE]
