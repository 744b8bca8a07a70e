from __future__ import annotations

import pytest
import torch
from torch import nn

from paretomerge.types import build_empty


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 3, bias=False)
        self.last = nn.Linear(2, 3, bias=False)
        self.last.weight = self.first.weight
        self.third = nn.Linear(2, 3, bias=False)
        self.third.weight.requires_grad_(False)
        self.register_buffer("angles", torch.arange(3.0), persistent=False)


def test_parameters_have_shapes_and_no_memory_and_buffers_are_real() -> None:
    module = build_empty(Tied)
    assert all(parameter.is_meta for parameter in module.parameters())
    assert torch.equal(module.angles, torch.arange(3.0))
    assert [tuple(p.shape) for p in module.parameters()] == [(3, 2), (3, 2)]
    assert not module.third.weight.requires_grad
    assert module.first.weight.requires_grad


def test_ties_stay_tied_also_of_one_parameter_that_is_registered_twice() -> None:
    def shared() -> nn.Module:
        module, weight = Tied(), nn.Parameter(torch.ones(2))
        module.one, module.two = weight, weight
        return module

    module = build_empty(shared)
    assert module.last.weight is module.first.weight
    assert module.one is module.two
    assert module.third.weight is not module.first.weight


def test_a_module_that_was_there_before_keeps_its_memory() -> None:
    there = nn.Linear(2, 2)
    expected = there.weight.detach().clone()

    def build() -> nn.Module:
        module = nn.Sequential(nn.Linear(2, 2), there)
        module[0].weight = there.weight
        return module

    build_empty(build)
    assert torch.equal(there.weight, expected)
    assert nn.Linear(2, 2).weight.device.type == "cpu"


def test_what_computes_with_its_parameters_is_built_as_usual() -> None:
    def reads() -> nn.Module:
        module = nn.Linear(2, 2)
        module.scale = module.weight.sum().item()
        return module

    def keeps() -> nn.Module:
        module = nn.Linear(2, 2)
        module.register_buffer("start", module.weight.detach().clone())
        return module

    for build in (reads, keeps):
        assert not any(tensor.is_meta for tensor in build_empty(build).state_dict().values())


def test_an_error_of_the_function_is_its_own() -> None:
    def broken() -> nn.Module:
        raise KeyError("no such layer")

    with pytest.raises(KeyError, match="no such layer"):
        build_empty(broken)
    assert not nn.Linear(1, 1).weight.is_meta
