from __future__ import annotations

import pytest
import torch
from torch import nn

from paretomerge.curvature import LossModel, tangents
from paretomerge.posteriors import Basis, DirectionLabel, task_vector_basis


class Scaled(nn.Module):
    """Tensors of every rank: a scalar, a vector, a matrix, an empty one."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2, dtype=torch.float64)
        self.scale = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
        self.empty = nn.Parameter(torch.zeros(0, 3, dtype=torch.float64))

    def forward(self, inputs):
        return torch.tanh(self.scale * self.linear(inputs)) + self.empty.sum()


@pytest.fixture
def setting():
    torch.manual_seed(0)
    module = Scaled()
    params = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    tune = {name: tensor + torch.randn_like(tensor) for name, tensor in params.items()}
    inputs = torch.randn(5, 3, dtype=torch.float64)
    return LossModel.of(module), params, task_vector_basis(params, {"t": tune}, "tensor"), inputs


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_tangents_are_finite_differences_of_the_outputs(setting, mode):
    model, params, basis, inputs = setting
    outputs, found, _ = tangents.output_tangents(model, params, basis, inputs, torch.zeros(5), mode)
    assert torch.allclose(outputs, model.predict(params, inputs))
    for direction, tangent in zip(basis.directions, found, strict=True):
        ahead, behind = (
            model.predict({**params, **{n: params[n] + h * t for n, t in direction.items()}}, inputs)
            for h in (1e-5, -1e-5)
        )
        assert torch.allclose(tangent.detach(), (ahead - behind) / 2e-5, atol=1e-9)


def test_few_outputs_go_in_reverse_and_few_directions_forward(setting):
    model, params, basis, inputs = setting
    few = Basis(basis.directions[:1], (DirectionLabel(),))
    assert tangents.output_tangents(model, params, basis, inputs, torch.zeros(5))[2] == 5 * 2
    assert tangents.output_tangents(model, params, few, inputs, torch.zeros(5))[2] == 5 * 1


def test_chunks_of_directions_and_of_examples_change_nothing(setting, monkeypatch):
    model, params, basis, inputs = setting
    whole = {mode: tangents.output_tangents(model, params, basis, inputs, torch.zeros(5), mode) for mode in MODES}
    monkeypatch.setattr(tangents, "DIRECTIONS_PER_PASS", 1)
    monkeypatch.setattr(tangents, "JACOBIAN_ELEMENTS", 2 * 9 * 2)
    for mode in MODES:
        found = tangents.output_tangents(model, params, basis + basis, inputs, torch.zeros(5), mode)[1]
        assert torch.allclose(found, whole[mode][1].repeat(2, 1, 1), atol=1e-14)


MODES = ("forward", "reverse")
