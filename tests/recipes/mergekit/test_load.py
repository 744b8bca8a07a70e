from __future__ import annotations

import pytest
import yaml

from paretomerge.errors import RecipeError
from paretomerge.recipes.mergekit import ModelPath, load_mergekit, parse_mergekit

TIES = """
models:
  - model: base          # no parameters necessary for the base model
  - model: ft/math
    parameters: {density: 0.5, weight: [0, 0.3, 0.7, 1]}
  - model: ft/code
    parameters:
      density: 0.33
      weight:
        - filter: mlp
          value: 0.5
        - value: 0
merge_method: ties
base_model: base
parameters: {normalize: true, int8_mask: true}
dtype: float16
"""


def content(**changes):
    models = [{"model": "a", "parameters": {"weight": 0.5}}, {"model": "b", "parameters": {"weight": 0.5}}]
    changed = {"merge_method": "task_arithmetic", "base_model": "base", "models": models, **changes}
    return {key: value for key, value in changed.items() if value is not None}


def test_a_configuration_of_the_documentation_is_read(tmp_path):
    path = tmp_path / "ties.yml"
    path.write_text(TIES)
    recipe = load_mergekit(path)
    assert (recipe.method, recipe.base) == ("ties", ModelPath("base"))
    assert recipe.models == {"math": ModelPath("ft/math"), "code": ModelPath("ft/code")}
    assert (recipe.dtype, recipe.out_dtype, recipe.output_dtype, recipe.tokenizer) == ("float16", None, "float16", None)
    assert recipe.parameters == {"normalize": True, "int8_mask": True}
    assert recipe.model_parameters["math"] == {"density": 0.5, "weight": [0, 0.3, 0.7, 1]}
    assert recipe.warnings == ()


def test_the_output_dtype_is_what_is_written():
    assert parse_mergekit(content(dtype="torch.float32", out_dtype="bfloat16")).output_dtype == "bfloat16"
    assert parse_mergekit(content()).output_dtype is None


def test_a_base_takes_part_in_linear_unless_its_weight_is_zero():
    listed = [{"model": "base", "parameters": {"weight": 0.2}}, *content()["models"]]
    assert list(parse_mergekit(content(merge_method="linear", models=listed)).models) == ["base", "a", "b"]
    assert list(parse_mergekit(content(merge_method="linear")).models) == ["a", "b", "base"]
    listed[0] = {"model": "base", "parameters": {"weight": 0.0}}
    recipe = parse_mergekit(content(merge_method="linear", models=listed))
    assert (list(recipe.models), recipe.base) == (["a", "b"], ModelPath("base"))


def test_linear_without_a_base_takes_the_first_model_for_it():
    recipe = parse_mergekit(content(merge_method="linear", base_model=None))
    assert (recipe.base, list(recipe.models)) == (ModelPath("a"), ["a", "b"])


@pytest.mark.parametrize("order", [("base", "a"), ("a", "base"), ("a",)])
def test_slerp_starts_at_the_base_wherever_it_is_listed(order):
    models = [{"model": name} for name in order]
    recipe = parse_mergekit(content(merge_method="slerp", models=models, parameters={"t": 0.3}))
    assert list(recipe.models) == ["base", "a"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"tokenizer_source": "base"}, "base"),
        ({"tokenizer_source": "union"}, "union"),
        ({"tokenizer": {"source": "base"}}, "base"),
        ({"tokenizer": {}}, "union"),
        ({"tokenizer_source": "base_model_folder", "base_model": "base_model_folder"}, "base"),
        ({}, None),
    ],
)
def test_the_tokenizer_is_the_base_s_or_the_union(given, expected):
    assert parse_mergekit(content(**given)).tokenizer == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"chat_template": "chatml"}, "chat_template is not applied"),
        ({"name": "mine"}, "name has no effect"),
        ({"parameters": {"epsilon": 0.1}}, "parameters.epsilon has no effect with task_arithmetic"),
        (
            {"models": [{"model": "base", "parameters": {"weight": 1}}, *content()["models"]]},
            "parameters of base have no effect: it is the base_model",
        ),
        (
            {"models": [{"model": "a", "parameters": {"weight": 1, "normalize": True}}]},
            "parameters of a.normalize has no effect",
        ),
    ],
)
def test_what_has_no_effect_is_said(changes, expected):
    [warning] = parse_mergekit(content(**changes)).warnings
    assert warning.startswith(expected)


def test_the_residual_weight_of_a_slice_is_said_to_have_no_effect():
    sources = [{"model": name, "layer_range": [0, 2]} for name in ("base", "a")]
    changed = content(models=None, slices=[{"sources": sources, "residual_weight": 0.1}])
    assert "residual_weight has no effect" in parse_mergekit(changed).warnings[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"merge_metod": "ties"},
            r"cfg: unknown key 'merge_metod' \(did you mean 'merge_method'\?\); the keys here are",
        ),
        ({"merge_method": None}, "merge_method is missing: one of linear, slerp"),
        ({"merge_method": "dare_tie"}, r"'dare_tie' is not supported \(did you mean 'dare_ties'\?\)"),
        ({"merge_method": "model_stock"}, "'model_stock' is not supported.*run mergekit itself"),
        ({"merge_method": ["ties"]}, "is not supported"),
        ({"merge_method": "passthrough"}, "passthrough copies or stacks layers"),
        ({"base_model": None}, "base_model is missing: task_arithmetic starts from it"),
        ({"models": [{"model": "base"}]}, "task_arithmetic needs at least one model beside the base_model base"),
        ({"merge_method": "slerp"}, "slerp needs the base_model and exactly one other model, got 2 others"),
        ({"merge_method": "slerp", "models": [{"model": "base"}]}, "got 0 others"),
        ({"dtype": "bf16"}, r"dtype: unknown dtype 'bf16'.*: one of bfloat16, float16"),
        ({"out_dtype": "int64"}, "out_dtype: unknown dtype 'int64'"),
        ({"tokenizer_source": "other"}, "'other' is neither base nor union"),
        ({"tokenizer": {"source": "base", "tokens": {"<s>": {}}}}, "tokenizer.tokens is not supported"),
        ({"tokenizer": {"source": "base", "pad_to_multiple_of": 8}}, "tokenizer.pad_to_multiple_of is not supported"),
        ({"tokenizer": {"sauce": "base"}}, r"tokenizer: unknown key 'sauce' \(did you mean 'source'\?\)"),
        ({"tokenizer": "base"}, "tokenizer: expected a mapping"),
        ({"tokenizer": {"source": "base"}, "tokenizer_source": "base"}, "are both given"),
        ({"parameters": {"lamda": 1}}, r"unknown parameter 'lamda' \(did you mean 'lambda'\?\)"),
        (
            {"models": [{"model": "a", "parameters": {"weight": "x"}}]},
            "parameters of a.weight: expected a number, got 'x'",
        ),
        ({"models": [{"model": "a", "parameters": 3}]}, "parameters of a: expected a mapping"),
    ],
)
def test_what_is_wrong_or_not_supported_is_refused_by_name(changes, message):
    with pytest.raises(RecipeError, match=message):
        parse_mergekit(content(**changes), "cfg")


def test_a_slice_without_the_base_is_refused():
    changed = content(models=None, slices=[{"sources": [{"model": "a", "layer_range": [0, 2]}]}])
    with pytest.raises(RecipeError, match="the base_model base is not among them"):
        parse_mergekit(changed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("merge_method: [", "is not one YAML document"),
        ("a: 1\n---\nb: 2", "is not one YAML document"),
        ("- a", "expected a mapping with merge_method, models, …, got list"),
        ("", "expected a mapping with merge_method, models, …, got NoneType"),
        ("a: 2001-99-99", "is not one YAML document"),
    ],
)
def test_files_without_a_configuration_are_refused(tmp_path, text, message):
    path = tmp_path / "cfg.yml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_mergekit(path)


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"there is no mergekit configuration .*none\.yml"):
        load_mergekit(tmp_path / "none.yml")
    with pytest.raises(RecipeError, match="cannot read the mergekit configuration"):
        load_mergekit(tmp_path)


def test_a_recipe_says_the_same_when_it_is_read_again(tmp_path):
    path = tmp_path / "cfg.yml"
    path.write_text(yaml.safe_dump(content()))
    assert load_mergekit(path) == load_mergekit(str(path)) == parse_mergekit(content())
