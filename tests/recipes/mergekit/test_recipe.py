"""What a whole configuration means for a model of four layers."""

from __future__ import annotations

import pytest
from tests.recipes.mergekit.tiny_llama import LAYERS, NAMES

from paretomerge.errors import RecipeError
from paretomerge.recipes.mergekit import parse_mergekit

Q = "model.layers.{}.self_attn.q_proj.weight"
UP = "model.layers.{}.mlp.up_proj.weight"


def recipe(method="task_arithmetic", own=None, whole=None, layers=None, of_slice=None, base="base"):
    names = [base, "a"]
    entries = [{"model": name} for name in names]
    entries[1]["parameters"] = own or {}
    content = {"merge_method": method, "base_model": base, "parameters": whole or {}}
    if layers is None:
        return parse_mergekit({**content, "models": entries})
    sources = [{**entry, "layer_range": [0, layers]} for entry in entries]
    return parse_mergekit({**content, "slices": [{"sources": sources, "parameters": of_slice or {}}]})


def weights(found, num_layers=LAYERS):
    planned = found.plan(NAMES, num_layers)
    return {name: row[planned.tasks.index("a")] for name, row in planned.weights.items()}


def test_a_gradient_goes_over_the_layers_and_ends_at_them():
    found = weights(recipe(own={"weight": [0.0, 1.0, 0.5]}))
    assert [found[Q.format(k)] for k in range(4)] == pytest.approx([0, 2 / 3, 5 / 6, 0.5], abs=1e-15)
    assert found["model.embed_tokens.weight"] == 0.0
    # mergekit puts the final norm and the head at the start of a gradient, not at its end
    assert found["model.norm.weight"] == found["lm_head.weight"] == 0.0


def test_model_before_slice_before_file():
    found = recipe(
        own={"weight": [{"filter": "mlp", "value": 0.1}]},
        of_slice={"weight": [{"filter": "layers", "value": [0.2, 0.8]}], "lambda": 0.5},
        whole={"weight": 0.9, "lambda": 2.0, "normalize": True},
        layers=4,
    )
    planned = found.plan(NAMES, LAYERS)
    values = weights(found)
    assert [values[UP.format(k)] for k in range(4)] == [0.1] * 4
    assert [values[Q.format(k)] for k in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8], abs=1e-15)
    assert values["lm_head.weight"] == 0.9
    assert (planned.rule.scale, planned.rule.normalize) == (0.5, True)


def test_a_shared_parameter_at_the_level_of_a_model_is_not_read():
    found = recipe(own={"weight": 1, "lambda": 0.5})
    planned = found.plan(NAMES)
    assert planned.rule.scale == 1.0
    assert "parameters of a.lambda has no effect" in planned.warnings[0]


def test_the_layers_are_counted_where_their_number_is_not_given():
    assert weights(recipe(own={"weight": [0, 3]}), None) == weights(recipe(own={"weight": [0, 3]}), 4)


def test_layers_beyond_the_model_get_the_last_values_and_a_warning():
    planned = recipe(own={"weight": [0, 1]}).plan(NAMES, 3)
    assert planned.weights[Q.format(2)] == planned.weights[Q.format(3)] == (1.0,)
    assert planned.warnings == ("layers from 3 on lie beyond the model's 3 layers: they get the last layer's values",)
    assert recipe(own={"weight": 1}).plan(NAMES, 3).warnings == ()


@pytest.mark.parametrize("num_layers", [None, 4])
def test_a_slice_must_be_the_whole_model(num_layers):
    assert recipe(own={"weight": 1}, layers=4).plan(NAMES, num_layers).weighting == {"a": 1.0}
    with pytest.raises(RecipeError, match=r"layer_range: \[0, 3\] is not the whole model, which has 4 layers"):
        recipe(own={"weight": 1}, layers=3).plan(NAMES, num_layers)


def test_a_gradient_needs_layers():
    with pytest.raises(RecipeError, match="a gradient over layers, but no tensor name shows a layer number"):
        recipe(own={"weight": [0, 1]}).plan(["head.weight", "stem.weight"])
    assert recipe(own={"weight": 1}).plan(["head.weight"]).weighting == {"a": 1.0}
    # what the method does not read does not matter
    assert recipe(own={"weight": 1, "gamma": [0, 1]}).plan(["head.weight"]).weighting == {"a": 1.0}


def test_a_parameter_without_an_answer_is_named_with_its_tensor():
    message = "no 'weight' of a for the tensor model.embed_tokens.weight: add it, or a last condition without filter"
    with pytest.raises(RecipeError, match=message):
        recipe(own={"weight": [{"filter": "layers", "value": 1}]}).plan(["model.layers.0.w.weight", *NAMES[1:]])


def test_nothing_to_merge_is_refused():
    with pytest.raises(RecipeError, match="no tensors to merge"):
        recipe(own={"weight": 1}).plan([])


def test_planning_changes_nothing_and_gives_the_same_again():
    found = recipe(own={"weight": [0, 1]})
    before = repr(found)
    assert found.plan(NAMES) == found.plan(NAMES)
    assert repr(found) == before
