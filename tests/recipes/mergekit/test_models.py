from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from paretomerge.errors import RecipeError
from paretomerge.recipes.mergekit.models import ModelPath, name_tasks, read_path, read_sources


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("models/base", ModelPath("models/base")),
        ("models/base+loras/chat", ModelPath("models/base", "loras/chat")),
        ("hub://org/model@main", ModelPath("hub://org/model@main")),
        ({"model": "base"}, ModelPath("base")),
        ({"model": {"path": "base"}, "lora": {"path": "chat"}}, ModelPath("base", "chat")),
    ],
)
def test_a_model_is_a_folder_with_or_without_an_adapter(given, expected):
    assert read_path(given, "model") == expected


def test_a_path_is_shown_as_it_was_written():
    assert str(read_path("base+chat", "model")) == "base+chat"
    assert str(read_path("base", "model")) == "base"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("org/model@main", "names a revision on a hub, which is only fetched as hub://org/model@main"),
        ("a+b+c", "has several '\\+'"),
        ("a+", "expected the path of a model folder"),
        ("", "expected the path of a model folder"),
        (7, "expected the path of a model folder, DIR or DIR\\+LORA, got 7"),
        ({"model": "base", "override_architecture": "X"}, "unknown key 'override_architecture'"),
        ({"model": {"path": "base", "revision": "main"}}, "expected the path"),
    ],
)
def test_paths_of_another_form_are_refused(given, message):
    with pytest.raises(RecipeError, match=message):
        read_path(given, "base_model")


def test_a_model_is_opened_with_its_adapter(tmp_path):
    save_file({"layer.weight": torch.ones(2, 2)}, tmp_path / "model.safetensors")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    settings = {"peft_type": "LORA", "r": 1, "lora_alpha": 2, "target_modules": ["layer"]}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    factors = {"lora_A": torch.ones(1, 2), "lora_B": torch.ones(2, 1)}
    named = {f"base_model.model.layer.{name}.weight": factor for name, factor in factors.items()}
    save_file(named, adapter / "adapter_model.safetensors")
    assert ModelPath(str(tmp_path)).open()["layer.weight"].tolist() == [[1, 1], [1, 1]]
    assert ModelPath(str(tmp_path), str(adapter)).open()["layer.weight"].tolist() == [[3, 3], [3, 3]]


def test_tasks_have_short_names():
    assert name_tasks([ModelPath("ft/math"), ModelPath("/x/ft/code/")]) == ["math", "code"]


def test_tasks_with_equal_folder_names_are_told_apart_by_their_parents():
    paths = ["runs/math/final", "runs/code/final", "other/code/final", "chat"]
    assert name_tasks([ModelPath(path) for path in paths]) == [
        "math-final",
        "runs-code-final",
        "other-code-final",
        "chat",
    ]


def test_an_adapter_names_its_task():
    assert name_tasks([ModelPath("base", "loras/chat"), ModelPath("base", "loras/code")]) == ["chat", "code"]


def test_names_are_unique_and_fit_the_command_line():
    paths = [
        ModelPath("a=b,c"),
        ModelPath("x/a-b-c"),
        ModelPath("."),
        ModelPath("x"),
        ModelPath("./x"),
        ModelPath("../x"),
    ]
    names = name_tasks(paths)
    assert len(set(names)) == len(paths)
    assert not set("=,") & set("".join(names))
    assert all(names)


def test_a_base_that_is_not_listed_is_added_last():
    sources = read_sources({"base_model": "base", "models": [{"model": "a", "parameters": {"weight": 1}}]})
    assert [str(source.model) for source in sources.models] == ["a", "base"]
    assert (sources.models[0].parameters, sources.models[1].parameters) == ({"weight": 1}, {})
    assert sources.layers is None


def test_a_base_that_is_listed_keeps_its_place():
    sources = read_sources({"base_model": "base", "models": [{"model": "base"}, {"model": "a", "parameters": None}]})
    assert [str(source.model) for source in sources.models] == ["base", "a"]


def test_one_slice_of_the_same_layers_is_a_whole_merge():
    sources = read_sources(
        {
            "slices": [
                {
                    "sources": [
                        {"model": "base", "layer_range": [0, 4]},
                        {"model": "a", "layer_range": [0, 4], "parameters": {"weight": 1}},
                    ],
                    "base_model": "base",
                    "parameters": {"lambda": 0.5},
                }
            ]
        }
    )
    assert [str(source.model) for source in sources.models] == ["base", "a"]
    assert (sources.base, sources.layers, sources.slice_parameters) == (ModelPath("base"), 4, {"lambda": 0.5})


def slices(*ranges, **others):
    sources = [{"model": f"m{k}", "layer_range": layers} for k, layers in enumerate(ranges)]
    return {"slices": [{"sources": sources, **others}]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "exactly one of models and slices"),
        ({"models": [{"model": "a"}], "slices": [{}]}, "exactly one of models and slices"),
        ({"modules": {"text": {}}}, "modules: merges of single parts"),
        ({"models": {"model": "a"}}, "models: expected a list"),
        ({"models": ["a"]}, r"models\[0\]: expected a mapping with the keys model, parameters, got 'a'"),
        ({"models": [{"modle": "a"}]}, r"models\[0\]: unknown key 'modle' \(did you mean 'model'\?\)"),
        ({"models": [{"parameters": {}}]}, r"models\[0\]: names no model"),
        ({"models": [{"model": "a"}, {"model": "a"}]}, "the model a is listed twice"),
        ({"slices": slices([0, 2])["slices"] * 2}, "2 slices stack layers into another model"),
        (slices([0, 4], [0, 5]), r"the layer ranges are \[0, 4\], \[0, 5\]: only the same layers"),
        (slices([1, 4], [1, 4]), "only the same layers of every model, from 0"),
        (slices("0-4"), "layer_range: expected two whole numbers"),
        (slices([0, 4.5]), "layer_range: expected two whole numbers"),
        (slices([0, 4], filter=3), r"slices\[0\]: unknown key 'filter'"),
        (
            {"base_model": "base", **slices([0, 4], base_model="m0")},
            "base_model is m0, the base_model of the file is base",
        ),
        ({"slices": [{}]}, r"slices\[0\].sources: expected a list"),
    ],
)
def test_other_merges_and_unknown_keys_are_refused(content, message):
    with pytest.raises(RecipeError, match=message):
        read_sources(content)
