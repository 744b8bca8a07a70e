"""Parameters of one tensor: hand-computed numbers, each of which mergekit 0.1.5 gives too (test_against_mergekit)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.errors import RecipeError
from paretomerge.recipes.mergekit.parameters import (
    METHODS,
    Parameter,
    check_settings,
    evaluate,
    has_gradient,
    layer_positions,
    resolve,
)

MLP = "model.layers.1.mlp.up_proj.weight"
WEIGHT = Parameter("input", float)


@pytest.mark.parametrize(
    ("gradient", "position", "expected"),
    [
        ([0.0, 1.0], 0.25, 0.25),
        ([0.0, 1.0, 0.5], 1 / 3, 2 / 3),
        ([0.0, 1.0, 0.5], 2 / 3, 5 / 6),
        ([0.0, 1.0, 0.5], 0.5, 1.0),
        ([0.0, 1.0, 0.5], 0.0, 0.0),
        ([0.0, 1.0, 0.5], 1.0, 0.5),
        ([0.7], 0.3, 0.7),
        (["1e-1", 1, 3], 0.75, 2.0),
    ],
)
def test_a_gradient_is_interpolated_between_its_neighbours(gradient, position, expected):
    assert evaluate(gradient, float, MLP, position) == pytest.approx(expected, abs=1e-15)


@given(
    gradient=st.lists(st.floats(-2, 2), min_size=1, max_size=6),
    position=st.floats(0, 1),
)
def test_a_gradient_stays_between_its_values(gradient, position):
    value = evaluate(gradient, float, MLP, position)
    assert min(gradient) - 1e-12 <= value <= max(gradient) + 1e-12


@given(gradient=st.lists(st.floats(-2, 2), min_size=2, max_size=6), data=st.data())
def test_a_gradient_passes_through_its_values(gradient, data):
    place = data.draw(st.integers(0, len(gradient) - 1))
    assert evaluate(gradient, float, MLP, place / (len(gradient) - 1)) == pytest.approx(gradient[place], abs=1e-12)


@pytest.mark.parametrize(
    ("position", "expected"), [(0.0, True), (0.49, True), (0.5, False), (0.99, False), (1.0, True)]
)
def test_a_list_of_booleans_is_a_step_function(position, expected):
    assert evaluate([True, "no", True], bool, MLP, position) is expected


@pytest.mark.parametrize(
    ("given", "kind", "expected"), [("1e-4", float, 1e-4), (True, float, 1.0), ("yes", bool, True)]
)
def test_values_are_read_as_mergekit_reads_them(given, kind, expected):
    assert evaluate(given, kind, MLP, 0.0) == expected


def test_the_first_condition_that_holds_decides():
    setting = [
        {"filter": "self_attn", "value": 0.1},
        {"filter": "mlp", "value": [0.2, 0.6]},
        {"filter": "up_proj", "value": 0.3},
        {"filter": "*", "value": 0.4},
        {"value": 0.5},
    ]
    assert evaluate(setting, float, MLP, 0.5) == pytest.approx(0.4, abs=1e-15)
    assert evaluate(setting, float, "model.layers.0.self_attn.q_proj.weight", 0.5) == 0.1
    assert evaluate(setting, float, "model.norm.weight", 0.5) == 0.4
    assert evaluate(setting[-1], float, "model.norm.weight", 0.5) == 0.5
    assert evaluate(setting[:1], float, MLP, 0.5) is None


def test_the_most_special_level_with_an_answer_wins():
    attention = {"weight": [{"filter": "self_attn", "value": 0.1}]}
    levels = (attention, {"weight": 0.2}, {"weight": 0.3})
    assert resolve("weight", WEIGHT, levels, "model.layers.0.self_attn.q_proj.weight", 0.0) == 0.1
    assert resolve("weight", WEIGHT, levels, MLP, 0.0) == 0.2
    assert resolve("weight", WEIGHT, ({"weight": []}, {}, {"weight": 0.3}), MLP, 0.0) == 0.3
    assert resolve("weight", WEIGHT, (attention,), MLP, 0.0) is None
    assert resolve("density", METHODS["ties"]["density"], (attention,), MLP, 0.0) == 1.0


@pytest.mark.parametrize(
    ("method", "normalize", "rescale"),
    [
        ("task_arithmetic", False, False),
        ("ties", True, False),
        ("dare_linear", False, True),
        ("dare_ties", False, True),
        ("della", True, True),
        ("della_linear", False, True),
        ("breadcrumbs", False, False),
        ("breadcrumbs_ties", False, False),
    ],
)
def test_every_method_has_its_own_defaults(method, normalize, rescale):
    table = METHODS[method]
    assert (table["normalize"].default, table["rescale"].default) == (normalize, rescale)
    assert table["weight"].default is None
    assert (table["lambda"].default, table["density"].default) == (1.0, 1.0)
    assert ("epsilon" in table) == method.startswith("della")
    assert ("gamma" in table) == method.startswith("breadcrumbs")


def test_layers_are_spread_evenly_and_the_rest_has_no_position():
    names = [f"model.layers.{k}.mlp.weight" for k in range(5)] + ["model.norm.weight", "lm_head.weight"]
    positions = layer_positions(names, None)
    assert [positions[name] for name in names[:5]] == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)]
    assert set(positions) == set(names[:5])


def test_a_single_layer_is_at_the_end():
    assert layer_positions(["h.0.attn.weight", "wte.weight"], None) == {"h.0.attn.weight": (0, 1.0)}


def test_the_number_of_layers_counts_for_the_only_list():
    names = ["model.layers.0.w.weight", "model.layers.2.w.weight", "model.layers.3.w.weight"]
    assert [t for _, t in layer_positions(names, 3).values()] == [0.0, 1.0, 1.0]
    both = [*names, "vision.blocks.0.w.weight", "vision.blocks.1.w.weight"]
    assert [t for _, t in layer_positions(both, 3).values()] == [0.0, 2 / 3, 1.0, 0.0, 1.0]


def test_the_layer_is_the_first_number_of_a_list_of_layers():
    names = ["visual.merger.mlp.2.weight", "encoder.block.1.layer.0.weight", "model.layers.1.experts.7.weight"]
    assert layer_positions(names, None) == {
        "encoder.block.1.layer.0.weight": (1, 1.0),
        "model.layers.1.experts.7.weight": (1, 1.0),
    }
    # where no list has a usual name, any number in the name counts
    assert layer_positions(["trunk.0.weight", "trunk.2.weight", "head.weight"], None) == {
        "trunk.0.weight": (0, 0.0),
        "trunk.2.weight": (2, 1.0),
    }


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (0.5, False),
        ([0.5], False),
        ([0.5, 0.6], True),
        ({"value": [0.5, 0.6]}, True),
        ([{"filter": "mlp", "value": 1}, {"value": [0, 1]}], True),
        ([{"filter": "mlp", "value": 1}, {"value": 0}], False),
    ],
)
def test_only_lists_of_several_values_are_gradients(setting, expected):
    assert has_gradient(setting) is expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"wieght": 0.5},
            r"parameters: unknown parameter 'wieght' \(did you mean 'weight'\?\); ties has weight, density",
        ),
        (
            {"weight": "half"},
            "parameters.weight: expected a number, a list of them|parameters.weight: expected a number",
        ),
        ({"weight": None}, "parameters.weight: expected a number"),
        ({"weight": [0.1, None]}, "parameters.weight: expected a number"),
        ({"weight": float("nan")}, "'?nan'? is not a finite number"),
        ({"weight": "inf"}, "'inf' is not a finite number"),
        ({"normalize": "maybe"}, "parameters.normalize: expected true or false, got 'maybe'"),
        ({"weight": [{"filter": "mlp"}]}, r"parameters.weight\[0\]: a condition without value"),
        ({"weight": [{"value": 1}, 0.5]}, r"parameters.weight\[1\]: 0.5 stands among conditions"),
        ({"weight": [{"fliter": "mlp", "value": 1}]}, r"unknown key 'fliter' \(did you mean 'filter'\?\)"),
        (
            {"weight": {"filter": 3, "value": 1}},
            r"parameters.weight\[0\].filter: expected a part of a tensor name, got 3",
        ),
        ({"weight": [{"value": [{"value": 1}]}]}, r"parameters.weight\[0\].value: expected a number"),
        ([0.5], "parameters: expected a mapping"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings, message):
    with pytest.raises(RecipeError, match=message):
        check_settings(settings, "ties", "parameters", "global")


def test_settings_without_effect_are_said():
    assert check_settings({"density": 0.5}, "linear", "parameters", "global") == [
        "parameters.density has no effect with linear (as in mergekit)"
    ]
    [idle] = check_settings({"weight": 1, "lambda": 0.5}, "ties", "parameters of a", "model")
    assert idle.startswith("parameters of a.lambda has no effect: it is read from the parameters of the slice")
    assert check_settings({"lambda": 0.5, "weight": [1, 2]}, "ties", "parameters", "slice") == []
