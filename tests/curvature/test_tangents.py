from __future__ import annotations

import pytest
import torch
from tests.curvature.layers.zoo import ZOO, loss_model
from torch import nn

from paretomerge.curvature import LossModel, parameters_of, tangents
from paretomerge.curvature.attention import differentiable_attention
from paretomerge.curvature.layers import squares
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
    monkeypatch.setattr(tangents, "EXAMPLES_AT_ONCE", 1)
    monkeypatch.setattr(squares, "SCRATCH_ELEMENTS", 1)
    for mode in MODES:
        found = tangents.output_tangents(model, params, basis + basis, inputs, torch.zeros(5), mode)[1]
        assert torch.allclose(found, whole[mode][1].repeat(2, 1, 1), atol=1e-14)


MODES = ("forward", "reverse")


@pytest.mark.parametrize("together", [True, False], ids=["model", "tensors"])
@pytest.mark.parametrize("name", ZOO)
def test_reverse_gives_the_jacobian_of_every_kind_of_layer(name, together):
    model, params, inputs, targets = loss_model(name)
    generator = torch.Generator().manual_seed(1)
    drawn = [
        {n: torch.randn(params[n].shape, generator=generator, dtype=torch.float64) for n in model.trainable}
        for _ in range(2)
    ]
    directions = drawn if together else [{n: tensor} for each in drawn for n, tensor in each.items()]
    basis = Basis(tuple(directions), (DirectionLabel(),) * len(directions))
    outputs, found, _ = tangents.output_tangents(model, params, basis, inputs, targets, "reverse")
    leaves = {n: params[n].clone().requires_grad_() for n in model.trainable}
    for b in range(len(targets)):
        of_one = model.predict({**params, **leaves}, inputs[b : b + 1])[0]
        for c, output in enumerate(of_one):
            gradients = torch.autograd.grad(output, list(leaves.values()), retain_graph=True, allow_unused=True)
            rows = {
                n: g.to_dense() if g.is_sparse else g for n, g in zip(leaves, gradients, strict=True) if g is not None
            }
            expected = torch.stack(
                [sum((rows[n] * d[n]).sum() for n in d if n in rows) + torch.zeros(()) for d in directions]
            )
            assert torch.allclose(found[:, b, c], expected.double(), rtol=1e-9, atol=1e-12)
    assert found.shape == (len(basis), *outputs.shape)


def test_tokens_and_masks_of_transformers_go_in_reverse():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=11, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12, num_labels=3
    )
    torch.manual_seed(0)
    module = transformers.BertForSequenceClassification(config).double().eval()
    model, params = LossModel.of(module), parameters_of(module.state_dict(), module)
    generator = torch.Generator().manual_seed(2)
    inputs = {
        "input_ids": torch.randint(1, 11, (4, 5), generator=generator),  # not the padding row, which has no gradient
        "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]),
    }
    origin = {n: params[n] for n in model.trainable}
    moved = {n: t + torch.randn(t.shape, generator=generator, dtype=torch.float64) for n, t in origin.items()}
    basis = task_vector_basis(origin, {"a": moved}, "tensor")
    with differentiable_attention():
        forward, reverse = (
            tangents.output_tangents(model, params, basis, inputs, torch.zeros(4), mode)[1] for mode in MODES
        )
    assert torch.allclose(forward, reverse, rtol=1e-8, atol=1e-11)
