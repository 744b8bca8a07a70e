"""Two processes on the CPU, as `accelerate launch` or `torchrun` start them, against one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.training.launching import launch
from tests.training.two_processes import SAME_AS_ALONE, draws

pytest.importorskip("accelerate", reason="the optional extra hf is not installed")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes saw."""
    return launch("tests.training.two_processes", tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("scenario", SAME_AS_ALONE)
def test_two_processes_train_what_one_trains(scenario: str, together: list[dict[str, Any]]) -> None:
    alone = SAME_AS_ALONE[scenario]()
    for found in (process[scenario] for process in together):
        assert found["history"] == pytest.approx(alone["history"], rel=1e-11)
        assert found["passes"] == alone["passes"]
        assert (found["steps"], found["scales"]) == (alone["steps"], pytest.approx(alone["scales"], rel=1e-12))
        assert [step for step, _ in found["checks"]] == [step for step, _ in alone["checks"]]
        assert [loss for _, loss in found["checks"]] == pytest.approx([loss for _, loss in alone["checks"]], rel=1e-11)
        for what in ("params", "precision"):
            for name, tensor in alone[what].items():
                torch.testing.assert_close(found[what][name], tensor, rtol=1e-5, atol=1e-9)
    assert together[0][scenario]["history"] == together[1][scenario]["history"]


@pytest.mark.parametrize("scenario", [*SAME_AS_ALONE, "noisy", "float16", "float16, one example"])
def test_both_processes_end_with_the_same_parameters_and_buffers(scenario: str, together: list[dict[str, Any]]) -> None:
    first, second = (process[scenario] for process in together)
    assert all(torch.equal(tensor, second["params"][name]) for name, tensor in first["params"].items())
    assert first["history"] == second["history"]


def test_dropout_differs_between_processes(together: list[dict[str, Any]]) -> None:
    """That of the first goes on as if it were alone."""
    first, second = (process["draws"] for process in together)
    assert len(first) == len(second) == 3
    assert first[0] == draws()[0]
    assert not set(first) & set(second)


def test_only_the_first_process_reports(together: list[dict[str, Any]]) -> None:
    scenario = "normalised, checked"
    assert "step" in together[0][scenario]["seen"]
    assert "message" in together[0][scenario]["seen"]
    assert together[1][scenario]["seen"] == []


def test_an_interrupted_training_of_two_processes_goes_on_bit_by_bit(together: list[dict[str, Any]]) -> None:
    for process, found in enumerate(each["resumed"] for each in together):
        assert found["stopped"]
        assert found["there"]
        assert found["gone"]
        assert found["messages"] == (["goes on after step 4 of 8, from a checkpoint"] if process == 0 else [])
        assert found["again"]["history"] == found["whole"]["history"]
        for name, tensor in found["whole"]["params"].items():
            assert torch.equal(found["again"]["params"][name], tensor), name


def test_processes_with_different_checkpoints_say_so(together: list[dict[str, Any]]) -> None:
    for found in (process["own folders"] for process in together):
        assert found.startswith("TrainingError: the processes see checkpoints of different steps (2, 0)")


def test_every_process_stops_when_the_loss_of_all_is_not_finite(together: list[dict[str, Any]]) -> None:
    assert together[0]["diverging"] == together[1]["diverging"]
    assert together[0]["diverging"].startswith("TrainingError: training diverged: the loss became")


def test_a_launcher_that_brings_another_engine_is_refused(together: list[dict[str, Any]]) -> None:
    assert "accelerate was asked for DEEPSPEED" in together[0]["other engine"]
    assert "--use_fsdp" in together[1]["other engine"]


def test_a_device_that_the_launcher_did_not_give_is_refused(together: list[dict[str, Any]]) -> None:
    assert together[0]["other device"].startswith("RecipeError: the recipe asks for device 'cuda', but")
