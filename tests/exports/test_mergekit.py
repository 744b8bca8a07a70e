"""A chosen point as a mergekit configuration, and read back."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.checkpoints.writing.writer import tool_version
from paretomerge.errors import InputError, WeightsError
from paretomerge.exports import mergekit_config
from paretomerge.merging import (
    Averaging,
    Breadcrumbs,
    ByPattern,
    Dare,
    Della,
    PosteriorMerge,
    Slerp,
    TaskArithmetic,
    Ties,
    WeightedSum,
)
from paretomerge.recipes import parse_mergekit

NAMES = ("model.embed_tokens.weight", "model.layers.0.w.weight", "lm_head.weight")
TASKS = {"math": "ft/math", "code": "ft/code", "chat": "base+loras/chat"}
WEIGHTS = {"math": 0.5, "code": 0.3, "chat": 0.2}

coefficients = st.floats(-2, 2).filter(lambda c: c == 0 or abs(c) > 1e-3)
shares = st.floats(0.01, 1.0)
scales = st.floats(0.1, 2.0)
unequal = st.fixed_dictionaries(dict.fromkeys(TASKS, shares)).filter(lambda found: len(set(found.values())) > 1)
per_task = st.one_of(shares, unequal)
switches = st.booleans()
seeds = st.integers(0, 9)
on_task_vectors = st.one_of(
    st.builds(TaskArithmetic, scale=scales, normalize=st.just(False)),
    st.builds(Ties, density=per_task, scale=scales, normalize=switches),
    st.builds(
        Dare,
        density=per_task,
        scale=scales,
        elect_signs=switches,
        normalize=st.just(False),
        rescale=switches,
        seed=seeds,
    ),
    st.builds(
        Della,
        density=st.floats(0.4, 0.6),
        epsilon=st.floats(0.01, 0.3),
        scale=scales,
        elect_signs=switches,
        normalize=st.just(False),
        rescale=switches,
        seed=seeds,
    ),
    st.builds(
        Breadcrumbs,
        density=st.floats(0.1, 0.7),
        gamma=st.floats(0.0, 0.2),
        scale=scales,
        elect_signs=switches,
        normalize=st.just(False),
    ),
)


def read_back(text, seed=0):
    return parse_mergekit(yaml.safe_load(text)).plan(NAMES, seed=seed)


@given(rule=on_task_vectors, values=st.tuples(*[coefficients] * 3))
def test_rules_on_task_vectors_come_back_with_their_weights(rule, values):
    weights = dict(zip(TASKS, values, strict=True))
    plan = read_back(mergekit_config(weights, rule, "base", TASKS), seed=getattr(rule, "seed", 0))
    assert plan.rule == rule
    assert plan.weighting == weights


@given(values=st.tuples(*[coefficients] * 3))
def test_weighted_sums_come_back_with_their_weights(values):
    weights = dict(zip(TASKS, values, strict=True))
    plan = read_back(mergekit_config(weights, WeightedSum(), "base", TASKS))
    assert (plan.rule, plan.weighting) == (WeightedSum(), weights)


@given(values=st.tuples(*[st.floats(0, 1)] * 3).filter(lambda values: sum(values) > 0.01))
def test_averages_come_back_with_their_weights(values):
    weights = {task: value / sum(values) for task, value in zip(TASKS, values, strict=True)}
    plan = read_back(mergekit_config(weights, Averaging(), "base", TASKS))
    assert (plan.rule, plan.weighting) == (Averaging(), weights)


@given(t=st.floats(0, 1))
def test_slerp_comes_back_with_its_two_weights(t):
    tasks = {"math": "ft/math", "code": "ft/code"}
    recipe = parse_mergekit(yaml.safe_load(mergekit_config({"math": 1 - t, "code": t}, Slerp(), "base", tasks)))
    plan = recipe.plan(NAMES)
    assert (plan.rule, plan.weighting) == (Slerp(), {"math": 1 - t, "code": t})
    assert str(recipe.base) == "ft/math"  # what slerp starts from


@pytest.mark.parametrize("normalize", [True, False])
def test_normalisation_comes_back(normalize):
    for rule in (
        TaskArithmetic(normalize=normalize),
        Dare(normalize=normalize),
        Della(normalize=normalize),
        Breadcrumbs(normalize=normalize),
    ):
        assert read_back(mergekit_config(WEIGHTS, rule, "base", TASKS)).rule == rule


def test_the_base_lends_its_configuration_to_an_average():
    text = mergekit_config(WEIGHTS, Averaging(), "base", TASKS, "bfloat16")
    content = yaml.safe_load(text)
    assert content["base_model"] == "base"
    assert content["models"][-1] == {"model": "base", "parameters": {"weight": 0.0}}
    recipe = parse_mergekit(content)
    assert (str(recipe.base), list(recipe.models)) == ("base", ["math", "code", "chat"])
    assert [str(model) for model in recipe.models.values()] == list(TASKS.values())


def test_a_task_that_is_the_base_is_listed_once():
    tasks = {"old": "base", "math": "ft/math"}
    plan = read_back(mergekit_config({"old": 0.4, "math": 0.6}, Averaging(), "base", tasks))
    assert plan.weighting == {"base": 0.4, "math": 0.6}


@pytest.mark.parametrize(
    ("dtype", "computed"),
    [("bfloat16", "float32"), ("float16", "float32"), ("float32", "float32"), ("float64", "float64")],
)
def test_half_precision_is_computed_in_float32(dtype, computed):
    recipe = parse_mergekit(yaml.safe_load(mergekit_config(WEIGHTS, Ties(), "base", TASKS, dtype)))
    assert (recipe.dtype, recipe.out_dtype) == (computed, dtype)
    assert "dtype" not in mergekit_config(WEIGHTS, Ties(), "base", TASKS)


def test_the_header_says_what_it_is():
    text = mergekit_config(
        {"math": 0.6, "line\nbreak": 0.4}, Dare(), Path("base"), {"math": "a", "line\nbreak": Path("b")}
    )
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert f"paretomerge {tool_version()}" in header[0]
    assert header[1] == '# weights: math=0.6, "line\\nbreak"=0.4'
    assert header[2] == "# Elements are dropped at random: mergekit draws others than paretomerge does."
    assert yaml.safe_load(text)["merge_method"] == "dare_linear"


def test_rare_characters_in_paths_survive():
    path = "ft/ü\x85 'quoted'\": #"
    recipe = parse_mergekit(yaml.safe_load(mergekit_config({"a": 1.0}, Averaging(), "base", {"a": path})))
    assert [model.folder for model in recipe.models.values()] == [path]


def test_models_on_the_hub_have_the_name_mergekit_gives_them():
    tasks = {"a": "hub://org/model@main+hub://org/lora"}
    content = yaml.safe_load(mergekit_config({"a": 1.0}, TaskArithmetic(), "hub://org/base", tasks))
    assert (content["base_model"], content["models"][0]["model"]) == ("org/base", "org/model@main+org/lora")


def test_isotropic_posteriors_are_an_average():
    isotropic = mergekit_config(WEIGHTS, PosteriorMerge(), "base", TASKS, family="isotropic")
    assert read_back(isotropic).rule == Averaging()


@pytest.mark.parametrize("family", ["diagonal", "subspace", None])
def test_posteriors_have_no_configuration(family):
    message = "PosteriorMerge has no counterpart in mergekit.*export the merged checkpoint instead"
    with pytest.raises(InputError, match=message):
        mergekit_config(WEIGHTS, PosteriorMerge(), "base", TASKS, family=family)


def test_patterns_of_rules_have_no_configuration():
    with pytest.raises(InputError, match="ByPattern has no counterpart"):
        mergekit_config(WEIGHTS, ByPattern((), Ties()), "base", TASKS)


@pytest.mark.parametrize(
    ("weights", "tasks", "error", "message"),
    [
        ({"a": 1.0}, {"b": "ft"}, WeightsError, "unknown task 'a'"),
        ({"a": float("nan")}, {"a": "ft"}, WeightsError, "the weight of task 'a' is nan"),
        ({"a": 1.0}, {"a": "org/model@main"}, InputError, "task 'a' is at 'org/model@main': mergekit reads '@'"),
        ({"a": 1.0}, {"a": "x+y+z"}, InputError, "rename the folder"),
        ({"a": 1.0}, {"a": ""}, InputError, "rename the folder"),
        ({"a": 0.5, "b": 0.5}, {"a": "ft", "b": "ft"}, InputError, "two tasks have the checkpoint ft"),
    ],
)
def test_what_mergekit_cannot_read_is_refused(weights, tasks, error, message):
    with pytest.raises(error, match=message):
        mergekit_config(weights, Averaging(), "base", tasks)


def test_slerp_of_three_tasks_is_refused():
    with pytest.raises(WeightsError, match="slerp is between two tasks, got 3: math, code, chat"):
        mergekit_config(WEIGHTS, Slerp(), "base", TASKS)
