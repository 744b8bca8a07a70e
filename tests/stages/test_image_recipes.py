"""From a recipe of an image classification to a front, for a module of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tests.tiny import invoke

from paretomerge.checkpoints import write_params
from paretomerge.errors import DataError, RecipeError
from paretomerge.recipes import load_recipe
from paretomerge.stages import estimate_run_front, open_study
from paretomerge.stages.problems import problem_source
from paretomerge.types.problem import SPLITS

MODEL = """
from torch import nn


def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2))
"""


def _recipe(folder: Path, **settings: Any) -> Path:
    pytest.importorskip("PIL", reason="the optional extra images is not installed")
    from tests.problems.picture_files import write_classes

    (folder / "model.py").write_text(MODEL)
    generator = torch.Generator().manual_seed(0)
    base = {"1.weight": torch.zeros(2, 48), "1.bias": torch.zeros(2)}
    write_params(folder / "base", base)
    for task in ("day", "night"):
        noise = {name: value + 0.01 * torch.randn(value.shape, generator=generator) for name, value in base.items()}
        write_params(folder / task, noise)
        write_classes(folder / "data" / task, count=20)
    content = {
        "base": "base",
        "tasks": {task: {"checkpoint": task, "data": f"data/{task}"} for task in ("day", "night")},
        "problem": "image_classification",
        "problem_settings": {"model": "model.py:build", "mean": 0.5, "std": [0.25, 0.25, 0.25], "batch_size": 8}
        | settings,
        "posterior": {"family": "diagonal", "damping": 0.1},
        "front": {"evaluations": 3, "points": 5},
        "max_distance": 1e9,  # of a base of zeros, everything is far
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    return folder / "recipe.yaml"


def test_from_a_recipe_to_a_front(tmp_path: Path) -> None:
    study = open_study(_recipe(tmp_path))
    assert study.problem is not None
    ((inputs, _), *_) = study.problem.batches("day", "validation")
    assert inputs.shape[1:] == (3, 4, 4)
    assert float(inputs.min()) < 0
    front = estimate_run_front(study).front
    assert front.tasks == ("day", "night")


def test_the_models_own_path_is_seen_from_the_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(_recipe(tmp_path))
    assert recipe.problem_settings.model == f"{tmp_path}/model.py:build"
    study = open_study(tmp_path / "recipe.yaml")
    assert problem_source(study.recipe, study.base) == MODEL.encode()


def test_the_command_line_checks_it(tmp_path: Path) -> None:
    found = invoke("check", _recipe(tmp_path))
    assert found.code == 0, found.err
    (tmp_path / "data" / "day" / "dark" / "0.png").write_bytes(b"")
    problem = open_study(tmp_path / "recipe.yaml").problem
    assert problem is not None
    with pytest.raises(DataError, match=r"dark/0\.png cannot be decoded"):
        [problem.batches("day", split) for split in SPLITS]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": 12}, "problem_settings.max_length: problem image_classification has no such setting"),
        ({"text": "x"}, "problem_settings.text: problem image_classification has no such setting"),
        ({"imge": "x"}, r"'problem_settings\.imge' \(did you mean 'image'\?\)"),
    ],
)
def test_settings_of_other_problems_are_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(_recipe(tmp_path, **settings))
