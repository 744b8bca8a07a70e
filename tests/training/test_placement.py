from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor, nn

from paretomerge.errors import MissingExtraError, RecipeError
from paretomerge.testing import LinearRegressionTasks
from paretomerge.training import TrainingRecipe, finetune
from paretomerge.training import placement as room
from paretomerge.training.placement import SinglePlacement, launcher_notes, placement_of, sum_gradients

LAUNCHER = ("WORLD_SIZE", "MASTER_ADDR", "ACCELERATE_USE_CPU", "ACCELERATE_MIXED_PRECISION", "OMPI_COMM_WORLD_SIZE")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHER:
        monkeypatch.delenv(name, raising=False)


class Twice:
    """As if another process did just the same."""

    device = torch.device("cpu")
    processes = 2
    process = 0

    def __init__(self) -> None:
        self.sent: list[int] = []

    def sum(self, tensor: Tensor) -> Tensor:
        self.sent.append(tensor.numel())
        return 2 * tensor

    def gather(self, tensor: Tensor) -> Tensor:
        return torch.stack([tensor, tensor])

    def wait(self) -> None:
        pass


def test_one_process_on_the_cpu_needs_no_accelerate(generator: torch.Generator, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    tasks = LinearRegressionTasks.random(1, 3, 10, generator)
    start = tasks.as_params(torch.zeros(3, dtype=torch.float64))
    for precision in ("float32", "bfloat16", "float16"):
        finetune(tasks.problem(), start, {"task0": 1.0}, TrainingRecipe(steps=1, precision=precision, device="cpu"))


def test_several_processes_without_accelerate_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MissingExtraError, match=r"'accelerate'.*paretomerge\[hf\]"):
        placement_of("auto")


def test_one_launched_process_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    found = placement_of("auto")
    assert isinstance(found, SinglePlacement)
    assert found.device.type == "cpu"


def test_what_mpi_says_counts_where_accelerate_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(room, "AcceleratePlacement", asked.append)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    assert isinstance(placement_of("cpu"), SinglePlacement)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    placement_of("cpu")
    assert asked == ["cpu"]


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "xpu"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(RecipeError, match=rf"training.device: '{device}' cannot be used here .*give 'cpu', or 'auto'"):
        placement_of(device)


@pytest.mark.parametrize(("kind", "expected"), [("cuda", "cuda"), ("mps", "cpu")])
def test_auto_takes_an_accelerator_that_knows_float64(kind: str, expected: str, monkeypatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device(kind))
    assert placement_of("auto").device.type == expected


def test_the_launchers_wishes_that_are_not_followed_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launcher_notes("float32") == []
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert launcher_notes("bfloat16") == []
    assert launcher_notes("float32") == ["the launcher asks for bf16, the recipe for float32: the recipe decides"]
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    assert launcher_notes("float16") == []
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    (note,) = launcher_notes("float32")
    assert "one process only" in note
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert launcher_notes("float32") == []


def test_gradients_are_summed_in_buckets_and_absent_ones_stay_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BUCKET", 7)
    shapes = [(2, 2), (3,), (9,), (1,), (2,)]
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in shapes]
    parameters[3] = nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
    for number, parameter in enumerate(parameters[:4]):
        parameter.grad = torch.full_like(parameter, number + 0.5)
    other = Twice()
    sum_gradients(parameters, other)
    for number, parameter in enumerate(parameters[:4]):
        assert parameter.grad is not None
        assert parameter.grad.dtype == parameter.dtype
        assert torch.equal(parameter.grad, torch.full_like(parameter, 2 * number + 1.0))
    assert parameters[4].grad is None
    assert other.sent == [5, 7, 9, 1]


def test_a_gradient_that_only_another_process_has_arrives() -> None:
    class Other(Twice):
        def sum(self, tensor: Tensor) -> Tensor:
            return tensor + 1

    parameter = nn.Parameter(torch.zeros(2, 3))
    sum_gradients([parameter], Other())
    assert torch.equal(parameter.grad, torch.ones(2, 3))
