from __future__ import annotations

import math
from typing import Any

import pytest

from paretomerge.errors import RecipeError
from paretomerge.training import IvonSettings, TrainingRecipe


def test_the_sample_size_is_that_of_the_run_divided_by_the_temperature() -> None:
    settings = IvonSettings(temperature=0.1)
    assert settings.for_run(steps=10, examples=70)["ess"] == pytest.approx(700.0)
    assert IvonSettings(ess=50.0, temperature=0.5).for_run(10, 70)["ess"] == 100.0


def test_the_curvature_forgets_its_start_within_the_run_unless_told_otherwise() -> None:
    beta1, beta2 = IvonSettings(beta1=0.8).for_run(steps=200, examples=1)["betas"]
    assert (beta1, beta2) == (0.8, 0.98)
    assert beta2**200 < 0.02
    assert IvonSettings().for_run(steps=2, examples=1)["betas"][1] == 0.0
    assert IvonSettings(beta2=0.9).for_run(200, 1)["betas"][1] == 0.9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "samples, the draws per step, must be at least 1, got 0"),
        ({"prior": "base"}, "prior is 'start' or 'zero', got 'base'"),
        ({"temperature": 0.0}, "temperature must be positive, 1 for the Bayesian posterior, got 0.0"),
        ({"temperature": math.nan}, "temperature"),
        ({"learning_rate": -1.0}, "learning rate must be at least 0, got -1.0"),
        ({"ess": 0.0}, "ess, the effective sample size, must be positive"),
        ({"hess_init": math.inf}, "hess_init"),
        ({"beta1": 1.0}, "betas"),
        ({"beta2": -0.1}, "betas"),
        ({"weight_decay": math.nan}, "weight_decay"),
        ({"clip_radius": -1.0}, "clip_radius"),
    ],
)
def test_what_cannot_train_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        IvonSettings(**settings)


def test_a_recipe_for_ivon_has_its_settings_and_its_learning_rate() -> None:
    assert TrainingRecipe(optimizer="ivon").ivon == IvonSettings()
    assert TrainingRecipe(optimizer="ivon", ivon=IvonSettings(learning_rate=0.2)).peak_rate == 0.2
    assert TrainingRecipe(learning_rate=0.3).peak_rate == 0.3
    assert TrainingRecipe().ivon is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "sgd"}, "optimizer is 'adamw' or 'ivon', got 'sgd'"),
        ({"ivon": IvonSettings()}, "the optimizer is adamw: set optimizer='ivon'"),
        ({"optimizer": "ivon", "weight_decay": 0.1}, r"IVON has ivon\.weight_decay"),
        ({"optimizer": "ivon", "max_norm": 1.0}, r"ivon\.clip_radius"),
    ],
)
def test_settings_that_the_optimizer_would_ignore_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        TrainingRecipe(**settings)
