from __future__ import annotations

import pytest

from paretomerge.errors import RecipeError
from paretomerge.training import LoraSettings, TrainingRecipe


def test_the_scale_is_alpha_by_the_rank_or_by_its_root() -> None:
    assert LoraSettings(rank=4, alpha=6).scale == 1.5
    assert LoraSettings(rank=4, alpha=6, stabilised=True).scale == 3.0


def test_names_are_given_as_a_file_has_them() -> None:
    """A list, one word, or the word that stands for all."""
    assert LoraSettings(target_modules=["q", "v"]).target_modules == ("q", "v")  # type: ignore[arg-type]
    assert LoraSettings(target_modules="q").target_modules == ("q",)  # type: ignore[arg-type]
    for every in ("all-linear", ["all-linear"], None):
        assert LoraSettings(target_modules=every).target_modules is None  # type: ignore[arg-type]
    assert LoraSettings(modules_to_save=[]).modules_to_save == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "lora.rank must be a whole number of at least 1, got 0"),
        ({"rank": 2.5}, "lora.rank must be a whole number"),
        ({"rank": True}, "lora.rank must be a whole number"),
        ({"alpha": 0}, "lora.alpha must be a positive number, got 0"),
        ({"alpha": float("inf")}, "lora.alpha must be a positive number"),
        ({"alpha": "16"}, "lora.alpha must be a positive number"),
        ({"dropout": 1.0}, "lora.dropout must be a number of at least 0 and below 1"),
        ({"dropout": -0.1}, "lora.dropout must be"),
        ({"stabilised": 1}, "lora.stabilised is true or false"),
        ({"target_modules": []}, "lora.target_modules is empty"),
        ({"target_modules": [1]}, r"lora.target_modules is a list of names of modules, got \[1\]"),
        ({"modules_to_save": {"head": 1}}, "lora.modules_to_save is a list of names"),
        ({"modules_to_save": [""]}, "lora.modules_to_save is a list of names"),
    ],
)
def test_settings_outside_their_domain_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        LoraSettings(**settings)  # type: ignore[arg-type]


def test_a_training_recipe_reads_them_and_names_the_nearest_setting() -> None:
    assert TrainingRecipe.of({"lora": {"rank": 2, "target_modules": ["q"]}}).lora == LoraSettings(
        2, target_modules=("q",)
    )
    assert TrainingRecipe.of({"lora": None}).lora is None
    with pytest.raises(RecipeError, match=r"lora has no setting 'rnak' \(did you mean 'rank'\?\)"):
        TrainingRecipe.of({"lora": {"rnak": 2}})


def test_an_adapter_is_another_training_than_a_whole_model() -> None:
    """Keys of trainings that know of no adapter stay what they were."""
    plain = TrainingRecipe().identity()
    assert "lora" not in plain
    ranks = [TrainingRecipe(lora=LoraSettings(rank=rank)).identity() for rank in (2, 3)]
    assert plain != ranks[0] != ranks[1] != plain
