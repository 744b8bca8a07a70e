from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge import merging
from paretomerge.errors import RecipeError
from paretomerge.merging import Averaging, ByPattern, TaskArithmetic, WeightedSum
from paretomerge.recipes.mergekit import parse_mergekit
from paretomerge.recipes.mergekit.plan import compress
from paretomerge.types import PatternWeights

NAMES = (
    "model.embed_tokens.weight",
    *(f"model.layers.{k}.{part}.weight" for k in range(3) for part in ("self_attn.q_proj", "mlp.up_proj")),
    "lm_head.weight",
)


def plan(method, parameters=None, own=({"weight": 0.25}, {"weight": 0.75}), seed=0, **others):
    models = [{"model": name, "parameters": given} for name, given in zip("ab", own, strict=False)]
    content = {"merge_method": method, "base_model": "base", "models": models, "parameters": parameters or {}, **others}
    return parse_mergekit({key: value for key, value in content.items() if value is not None}).plan(NAMES, seed=seed)


def test_a_normalised_linear_merge_is_an_average():
    found = plan("linear", own=({"weight": 1}, {"weight": 3}), base_model=None)
    assert found.tasks == ("a", "b")
    assert found.rule == Averaging()
    assert found.weighting == {"a": 0.25, "b": 0.75}
    assert set(found.rules) == set(found.weights) == set(NAMES)


def test_a_linear_merge_that_is_not_normalised_is_a_weighted_sum():
    found = plan("linear", {"normalize": False}, own=({"weight": 1}, {"weight": 3}), base_model=None)
    assert (found.rule, found.weighting) == (WeightedSum(), {"a": 1, "b": 3})


def test_a_normalised_linear_merge_with_a_negative_weight_is_a_weighted_sum_with_total_one():
    found = plan("linear", own=({"weight": -1}, {"weight": 3}), base_model=None)
    assert (found.rule, found.weighting) == (WeightedSum(), {"a": -0.5, "b": 1.5})


def test_a_linear_merge_that_is_normalised_in_some_tensors_is_one_rule():
    mixed = {"normalize": [{"filter": "mlp", "value": True}, {"value": False}]}
    assert plan("linear", mixed, base_model=None).rule == WeightedSum()
    found = plan("linear", mixed, ({"weight": 1}, {"weight": 3}), base_model=None)
    assert found.weights[NAMES[2]] == (0.25, 0.75)
    assert found.weights[NAMES[1]] == (1.0, 3.0)


def test_weights_that_cancel_cannot_be_normalised():
    with pytest.raises(RecipeError, match=r"weights of the tensor model\.embed_tokens\.weight sum to zero"):
        plan("linear", own=({"weight": -1}, {"weight": 1}), base_model=None)


def test_a_base_without_weight_in_linear_is_explained():
    with pytest.raises(
        RecipeError, match=r"no 'weight' of base for the tensor .*: in linear the base_model takes part"
    ):
        plan("linear")


def test_the_weight_of_the_whole_file_is_the_base_s_too_in_linear():
    found = plan("linear", {"weight": 0.5}, own=({}, {"weight": 1.0}))
    assert found.weighting == {"a": 0.25, "b": 0.5, "base": 0.25}


def test_slerp_weights_are_the_two_shares():
    found = plan("slerp", {"t": [0, 0.5, 1]}, own=({},))
    assert found.tasks == ("base", "a")
    assert found.rule == merging.Slerp()
    assert found.weights[NAMES[0]] == found.weights[NAMES[1]] == found.weights[NAMES[-1]] == (1.0, 0.0)
    assert found.weights[NAMES[3]] == (0.5, 0.5)
    assert found.weights[NAMES[6]] == (0.0, 1.0)
    with pytest.raises(RecipeError, match=r"t is 1\.5 for the tensor"):
        plan("slerp", {"t": 1.5}, own=({},))
    with pytest.raises(RecipeError, match=r"no 't' for the tensor model\.embed_tokens\.weight: add it, or a last"):
        plan("slerp", {"t": [{"filter": "mlp", "value": 0.5}]}, own=({},))


def test_task_arithmetic_keeps_its_weights_and_scales_by_lambda():
    found = plan("task_arithmetic", {"lambda": 0.5})
    assert (found.rule, found.weighting) == (TaskArithmetic(0.5), {"a": 0.25, "b": 0.75})
    assert plan("task_arithmetic", {"normalize": True}).rule == TaskArithmetic(normalize=True)


def test_weights_that_cancel_are_not_normalised_in_task_arithmetic():
    assert plan("task_arithmetic", {"normalize": True}, ({"weight": -1}, {"weight": 1})).rule == TaskArithmetic()


@pytest.mark.parametrize(
    ("method", "parameters", "name", "settings"),
    [
        ("ties", {}, "Ties", {"density": 1.0, "normalize": True}),
        ("ties", {"density": 0.2, "normalize": False}, "Ties", {"density": 0.2, "normalize": False}),
        ("dare_linear", {"density": 0.3}, "Dare", {"density": 0.3, "rescale": True, "seed": 5}),
        ("dare_ties", {"rescale": False}, "Dare", {"density": 1.0, "elect_signs": True, "rescale": False, "seed": 5}),
        (
            "della",
            {"density": 0.4, "epsilon": 0.1},
            "Della",
            {"density": 0.4, "epsilon": 0.1, "elect_signs": True, "normalize": True, "rescale": True, "seed": 5},
        ),
        (
            "della_linear",
            {"density": 0.5},
            "Della",
            {"density": 0.5, "epsilon": 0.15, "elect_signs": False, "normalize": False, "rescale": True, "seed": 5},
        ),
        ("breadcrumbs", {"density": 0.9}, "Breadcrumbs", {"density": 0.9, "gamma": 0.01}),
        (
            "breadcrumbs_ties",
            {"density": 0.9, "gamma": 0.05, "normalize": True},
            "Breadcrumbs",
            {"density": 0.9, "gamma": 0.05, "elect_signs": True, "normalize": True},
        ),
    ],
)
def test_every_method_has_its_rule_with_mergekit_s_defaults(method, parameters, name, settings):
    wanted = {"elect_signs": False, "normalize": False, **settings} if name != "Ties" else settings
    found = plan(method, {"lambda": 2, **parameters}, seed=5)
    assert found.rule == getattr(merging, name)(scale=2.0, **wanted)
    assert found.weighting == {"a": 0.25, "b": 0.75}


def test_settings_that_differ_between_models_are_given_per_task():
    own = ({"weight": 1, "density": 0.5}, {"weight": 1, "density": 1.5})
    assert plan("ties", own=own).rule == merging.Ties(density={"a": 0.5, "b": 1.0})
    assert plan("ties", {"density": 1.5}).rule == merging.Ties(density=1.0)


def test_settings_that_differ_between_tensors_become_patterns():
    found = plan("ties", {"density": [{"filter": "mlp", "value": 0.5}, {"value": 0.9}], "weight": [0, 1]}, own=({}, {}))
    assert isinstance(found.rule, ByPattern)
    assert isinstance(found.weighting, PatternWeights)
    # five tensors of eight at 0.9
    assert found.rule.default == merging.Ties(density=0.9)
    assert [pattern for pattern, _ in found.rule.rules] == [f"model.layers.{k}.mlp.*" for k in range(3)]
    assert found.weighting.default == {"a": 0.0, "b": 0.0}
    assert found.weighting.patterns == {
        "model.layers.1.*": {"a": 0.5, "b": 0.5},
        "model.layers.2.*": {"a": 1.0, "b": 1.0},
    }


@pytest.mark.parametrize(
    ("method", "parameters", "message"),
    [
        ("ties", {"density": 0}, "the density of 'a' is 0 for the tensor"),
        ("dare_ties", {"density": -0.5}, "the share of elements to keep"),
        ("ties", {"density": 0.5, "rescale": True}, "rescale is not supported with ties"),
        ("breadcrumbs", {"density": 0.5, "rescale": True}, "rescale is not supported with breadcrumbs"),
    ],
)
def test_values_that_no_rule_takes_are_refused(method, parameters, message):
    with pytest.raises(RecipeError, match=message):
        plan(method, parameters)


def test_rescaling_nothing_is_allowed():
    assert plan("ties", {"rescale": True}).rule == merging.Ties(density=1.0)


@pytest.mark.parametrize(
    ("method", "parameters", "expected"),
    [
        ("task_arithmetic", {"int8_mask": True}, "int8_mask has no effect"),
        ("dare_linear", {"density": 0.5}, "dare_linear drops elements at random"),
        ("della", {"density": 0.5}, "della drops elements at random"),
    ],
)
def test_what_differs_from_mergekit_is_said(method, parameters, expected):
    [warning] = plan(method, parameters).warnings
    assert warning.startswith(expected)


@pytest.mark.parametrize(
    ("method", "parameters"), [("dare_linear", {}), ("ties", {"density": 0.5}), ("linear", {"weight": 1})]
)
def test_where_nothing_differs_nothing_is_said(method, parameters):
    assert plan(method, parameters).warnings == ()


@given(st.dictionaries(st.from_regex(r"[ab\[](\.[ab*]){0,3}", fullmatch=True), st.integers(0, 2), min_size=1))
def test_compressed_values_are_the_same_values(values):
    default, patterns = compress(values, int)
    for name, value in values.items():
        matching = [other for pattern, other in patterns if fnmatchcase(name, pattern)]
        assert set(matching or [default]) == {value}
    for pattern, _ in patterns:
        assert any(fnmatchcase(name, pattern) for name in values)
