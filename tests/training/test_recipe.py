from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pytest

from paretomerge.errors import RecipeError
from paretomerge.recipes.schema import TrainingSection
from paretomerge.training import IvonSettings, TrainingRecipe


def test_the_rate_rises_over_the_warm_up_and_falls_to_its_end() -> None:
    recipe = TrainingRecipe(steps=10, warmup=0.2, final_rate=0.2)
    rates = [recipe.rate(step) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[3:] == pytest.approx([1 - 0.1 * k for k in range(1, 8)], rel=1e-12)
    assert recipe.rate(10) == pytest.approx(0.2, rel=1e-12)


def test_without_warm_up_the_first_step_has_the_full_rate() -> None:
    assert TrainingRecipe(steps=4, warmup=0.0).rate(0) == 1.0


def test_a_single_step_trains_at_the_peak() -> None:
    assert TrainingRecipe(steps=1).rate(0) == 1.0


def test_equal_mixes_draw_the_same_of_every_weighted_task() -> None:
    assert TrainingRecipe(examples_per_task=5).counts({"a": 0.9, "b": 0.1, "c": 0.0}) == {"a": 5, "b": 5}


def test_proportional_mixes_cost_the_same_and_forget_no_task() -> None:
    recipe = TrainingRecipe(examples_per_task=10, mix="proportional")
    assert recipe.counts({"a": 0.7, "b": 0.3, "c": 0.0}) == {"a": 21, "b": 9}
    assert recipe.counts({"a": 0.999, "b": 0.001, "c": 0.0})["b"] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "at least 1"),
        ({"examples_per_task": 0}, "at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
        ({"learning_rate": math.inf}, "learning_rate"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"warmup": 1.5}, "fractions"),
        ({"final_rate": -0.1}, "fractions"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0, got -1.0"),
        ({"weight_decay": math.nan}, "weight_decay"),
        ({"max_norm": 0.0}, "max_norm must be positive"),
        ({"mix": "random"}, "'random'"),
        ({"precision": "int4"}, "'int4'"),
    ],
)
def test_what_cannot_train_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        TrainingRecipe(**settings)


def test_plain_values_make_the_same_recipe() -> None:
    for recipe in (TrainingRecipe(steps=7), TrainingRecipe(optimizer="ivon", ivon=IvonSettings(temperature=0.5))):
        assert TrainingRecipe.of(asdict(recipe)) == recipe
    with pytest.raises(RecipeError, match=r"training has no setting 'check_evry' \(did you mean 'check_every'\?\)"):
        TrainingRecipe.of({"check_evry": 3})
    with pytest.raises(RecipeError, match=r"ivon has no setting 'temprature'.*temperature"):
        TrainingRecipe.of({"optimizer": "ivon", "ivon": {"temprature": 1.0}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accumulate": 0}, "accumulate must be a whole number of at least 1, got 0"),
        ({"accumulate": None}, "accumulate must be a whole number of at least 1, got None"),
        ({"save_every": 0}, "save_every must be a whole number of at least 1, or absent, got 0"),
        ({"check_every": 2.5}, "check_every must be a whole number .* got 2.5"),
        ({"check_every": True}, "check_every"),
        ({"patience": 3}, "patience counts checks of the validation loss, and there are none: set check_every"),
        ({"patience": 0, "check_every": 1}, "patience must be"),
        ({"normalise": "strat"}, r"normalise is 'none' or 'start', got 'strat' \(did you mean 'start'\?\)"),
        ({"device": ""}, "device is 'auto' or the name of one"),
        ({"precision": "float16", "optimizer": "ivon"}, "IVON learns curvature.*set precision to bfloat16"),
    ],
)
def test_settings_of_the_way_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        TrainingRecipe(**settings)


def test_a_sampled_mix_draws_as_many_as_the_others() -> None:
    weights = {"a": 0.7, "b": 0.3, "c": 0.0}
    assert TrainingRecipe(examples_per_task=10, mix="sampled").batch_size(weights) == 30
    assert TrainingRecipe(examples_per_task=10, mix="proportional").batch_size(weights) == 30
    assert TrainingRecipe(examples_per_task=10).batch_size(weights) == 20


def test_what_was_trained_before_a_setting_existed_keeps_its_identity() -> None:
    first = (
        "steps", "examples_per_task", "learning_rate", "weight_decay", "warmup", "final_rate", "max_norm", "mix",
        "precision", "optimizer", "ivon",
    )  # fmt: skip
    assert tuple(TrainingRecipe().identity()) == first
    incidental = TrainingRecipe(accumulate=4, save_every=3, device="cpu", check_every=5)
    assert incidental.identity() == TrainingRecipe().identity()


def test_the_identity_holds_what_changes_the_result() -> None:
    assert TrainingRecipe(normalise="start").identity()["normalise"] == "start"
    stopping = TrainingRecipe(check_every=5, patience=2).identity()
    assert (stopping["check_every"], stopping["patience"]) == (5, 2)
    assert TrainingRecipe(precision="float16").identity()["precision"] == "float16"
    recipe = TrainingRecipe(optimizer="ivon", normalise="start", check_every=5, patience=2, mix="sampled")
    assert TrainingRecipe.of(recipe.identity()) == recipe


def test_the_section_of_a_recipe_file_has_the_same_settings_and_defaults() -> None:
    section = TrainingSection()
    assert TrainingRecipe.of(section.model_dump()) == TrainingRecipe()
    assert list(section.model_dump()) == list(asdict(TrainingRecipe()))
    given = {"mix": "sampled", "precision": "float16", "accumulate": 3, "normalise": "start", "save_every": 5}
    given |= {"check_every": 4, "patience": 2, "device": "cpu"}
    assert TrainingRecipe.of(TrainingSection.model_validate(given).model_dump()) == TrainingRecipe.of(given)
