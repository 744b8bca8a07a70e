"""Two processes of which each holds a part of the model (FSDP2, gloo), against one that holds all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cases import CASES
from tests.training.launching import launch
from tests.training.sharded_processes import FEW, MORE, RULES, Deep, deep, resumed
from tests.training.two_processes import SAME_AS_ALONE

pytest.importorskip("accelerate", reason="the optional extra hf is not installed")
pytest.importorskip("peft", reason="the optional extra hf is not installed")


FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes saw."""
    return launch("tests.training.sharded_processes", tmp_path_factory.mktemp("sharded"), **FSDP)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes saw of all scenarios."""
    return launch("tests.training.sharded_processes", tmp_path_factory.mktemp("everything"), "--all", **FSDP)


@pytest.mark.parametrize("scenario", FEW)
def test_parts_train_what_the_whole_trains(scenario: str, together: list[dict[str, Any]]) -> None:
    """Losses to 1e-6 in float32; the first process has the result."""
    _require_alike([process[scenario] for process in together], FEW[scenario](), 1e-6, {"rtol": 1e-4, "atol": 1e-5})


@pytest.mark.slow
def test_parts_of_every_kind_of_training_train_what_the_whole_trains(everything: list[dict[str, Any]]) -> None:
    """The scenarios of data-parallel training: losses to 1e-11 in float64."""
    for scenario, run in SAME_AS_ALONE.items():
        _require_alike([process[scenario] for process in everything], run(), 1e-11, {"rtol": 1e-5, "atol": 1e-9})
    for scenario, run in MORE.items():
        _require_alike([process[scenario] for process in everything], run(), 1e-6, {"rtol": 1e-4, "atol": 1e-5})


def _require_alike(
    together: list[dict[str, Any]], alone: dict[str, Any], near: float, tolerance: dict[str, float]
) -> None:
    for found in together:
        assert found["history"] == pytest.approx(alone["history"], rel=near)
        assert found["passes"] == alone["passes"]
        assert (found["steps"], found["scales"]) == (alone["steps"], pytest.approx(alone["scales"], rel=near))
        assert [loss for _, loss in found["checks"]] == pytest.approx([loss for _, loss in alone["checks"]], rel=near)
    first, second = together
    assert set(first["params"]) == set(alone["params"])
    assert (second["params"], second["precision"]) == ({}, {})
    for what in ("params", "precision", "adapter"):
        for name, tensor in alone.get(what, {}).items():
            torch.testing.assert_close(first[what][name], tensor, **tolerance, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"dtype": torch.bfloat16}, {"precision": "bfloat16"}])
def test_reduced_precision_trains_alike(settings: dict[str, Any], everything: list[dict[str, Any]]) -> None:
    found = everything[0]["bfloat16" if "dtype" in settings else "autocast"]
    assert found["history"] == pytest.approx(deep(**settings)["history"], rel=2e-2)


def test_an_interrupted_training_goes_on_from_one_whole_checkpoint(
    together: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Its tensors are whole, so that any number of processes could go on; and it ends where it would have ended."""
    _require_resumed("resumed", together, tmp_path)


@pytest.mark.slow
def test_an_interrupted_training_of_ivon_goes_on_with_its_best_parameters(
    everything: list[dict[str, Any]], tmp_path: Path
) -> None:
    _require_resumed("resumed, ivon", everything, tmp_path, optimizer="ivon", check_every=1, patience=9, at=30)


def _require_resumed(name: str, together: list[dict[str, Any]], tmp_path: Path, **settings: Any) -> None:
    whole = {n: list(tensor.shape) for n, tensor in Deep().named_parameters()}
    alone = resumed(tmp_path / "alone", **settings)
    for process, found in enumerate(each[name] for each in together):
        assert {n: shape for n, shape in found["shapes"].items() if n in whole} == whole
        assert any("goes on after step" in text for text in found["messages"]) == (process == 0)
        assert found["again"]["history"] == pytest.approx(alone["again"]["history"], rel=1e-11)
    assert together[0][name]["gone"]
    for what in ("params", "precision"):
        for n, tensor in alone["again"][what].items():
            torch.testing.assert_close(together[0][name]["again"][what][n], tensor, rtol=1e-5, atol=1e-9)


def test_each_process_holds_its_part_of_a_block(together: list[dict[str, Any]]) -> None:
    """Of five rows of five numbers the first holds three, the second two."""
    assert [process["parts"]["held"] for process in together] == [[15, 15], [10, 10]]


def test_each_process_merges_its_part(together: list[dict[str, Any]]) -> None:
    """The parts together are the merge, but for the last bits."""
    for process in together:
        assert set(process["merged"]) == set(RULES)
        assert max(process["merged"].values()) < 1e-5


@pytest.mark.slow
def test_each_process_merges_its_part_by_every_rule(everything: list[dict[str, Any]]) -> None:
    for process in everything:
        assert set(process["merged"]) == {case.name for case in CASES}
        assert max(process["merged"].values()) < 1e-5


def test_float16_is_refused(together: list[dict[str, Any]]) -> None:
    assert together[0]["float16"].startswith("RecipeError: training.precision: float16 scales losses")


def test_an_unknown_block_is_named_with_those_there_are(together: list[dict[str, Any]]) -> None:
    assert "names the layer 'Blocc'" in together[0]["unknown block"]
    assert "Block, Deep" in together[0]["unknown block"]
