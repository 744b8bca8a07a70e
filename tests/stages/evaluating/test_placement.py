"""Fronts of models whose layers are in several places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tests.tiny import copy_folder

from paretomerge.errors import RecipeError
from paretomerge.merging import MergedParams
from paretomerge.recipes import dump_recipe, load_recipe, parse_recipe
from paretomerge.stages import estimate_run_front, open_study
from paretomerge.stages.fitting.fit import fit_run

pytest.importorskip("accelerate", reason="the optional extra hf is not installed")

PLACED = {"device_map": {"0": "cpu", "1": "cpu", "2": "disk"}}


def with_placement(folder: Path, placement: dict[str, Any] | None) -> Path:
    content = yaml.safe_load((folder / "recipe.yaml").read_text())
    content["posterior"] = {"family": "isotropic"}
    content["front"] = {"method": "spaced", "evaluations": 4, "points": 4}
    content["placement"] = placement
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    return folder / "recipe.yaml"


def test_placed_models_have_the_same_scores(tiny: Path, tmp_path: Path) -> None:
    found = {}
    for name, placement in {"placed": PLACED, "whole": None}.items():
        study = open_study(with_placement(copy_folder(tiny, tmp_path / name), placement))
        found[name] = estimate_run_front(study).front.values
        models = fit_run(study).models(np.eye(3)[:1])
        assert isinstance(next(iter(models)), MergedParams) == (placement is not None)
    assert np.array_equal(found["placed"], found["whole"])
    left = [path for path in (tmp_path / "placed").rglob("*") if "offload" in path.name]
    assert not left


def test_a_dtype_is_part_of_what_a_score_is_known_by_and_places_are_not(tiny: Path, tmp_path: Path) -> None:
    folder = copy_folder(tiny, tmp_path / "study")

    def digest(placement: dict[str, Any] | None) -> str:
        out = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        return open_study(with_placement(folder, placement), out).evaluator_digest("test")

    assert digest(PLACED) == digest(None)
    assert digest({**PLACED, "dtype": "bfloat16"}) != digest(None)


def test_a_recipe_keeps_its_placement(tiny: Path, tmp_path: Path) -> None:
    """Numbers of devices and of bytes are texts; the folder is seen from the recipe's."""
    folder = copy_folder(tiny, tmp_path / "study")
    given = {"device_map": {"0": 0, "": "cpu"}, "max_memory": {0: "1GiB", "cpu": 1000}, "offload": "slow"}
    recipe = load_recipe(with_placement(folder, given))
    assert recipe.placement is not None
    assert recipe.placement.device_map == {"0": "0", "": "cpu"}
    assert recipe.placement.max_memory == {"0": "1GiB", "cpu": "1000"}
    assert recipe.placement.offload == str(folder.resolve() / "slow")
    assert parse_recipe(yaml.safe_load(dump_recipe(recipe))) == recipe


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"placement": {"device_map": "everywhere"}}, "must be one of auto, balanced"),
        ({"placement": {"dtype": "int8"}}, "placement.dtype"),
        ({"placement": {"devices": "auto"}}, "unknown key 'placement.devices'"),
        (
            {"placement": {}, "problem": None, "evaluator": "evaluator.py:score", "objectives": [{"name": "x"}]},
            "there is no problem",
        ),
        ({"placement": {}, "evaluator": {"lm_eval": {"sums": "mine"}}}, "lm_eval makes a model of its own"),
    ],
)
def test_what_cannot_be_is_refused_with_the_recipe(tiny: Path, changes: dict[str, Any], message: str) -> None:
    content = yaml.safe_load((tiny / "recipe.yaml").read_text()) | changes
    with pytest.raises(RecipeError, match="placement") as caught:
        parse_recipe(content)
    assert message in str(caught.value)
