from __future__ import annotations

import pytest
import torch
from torch import nn

from paretomerge.curvature import LossModel, module_predictor, parameters_of
from paretomerge.errors import AlignmentError


def test_it_predicts_with_the_given_parameters_in_evaluation_mode():
    module = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.9), nn.Linear(3, 2))
    module.train()
    predict = module_predictor(module)
    params = {name: torch.ones_like(tensor) for name, tensor in module.state_dict().items()}
    inputs = torch.tensor([[1.0, 2.0]])
    assert torch.equal(predict(params, inputs), torch.full((1, 2), 13.0))
    assert not torch.equal(module(inputs), predict(params, inputs))


def test_mappings_are_keyword_arguments_and_logits_are_taken():
    class Output:
        def __init__(self, logits):
            self.logits = logits

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))

        def forward(self, *, a, b):
            return Output(self.scale * (a - b))

    predict = module_predictor(Model())
    inputs = {"a": torch.tensor([[3.0]]), "b": torch.tensor([[1.0]])}
    assert predict({"scale": torch.tensor(5.0)}, inputs).item() == 10.0


def test_frozen_parameters_are_not_trainable():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[0].requires_grad_(False)
    assert LossModel.of(module).trainable == ("1.weight", "1.bias")


def test_missing_buffers_come_from_the_module_and_the_order_is_its_own():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    params = dict(reversed([(name, tensor.detach()) for name, tensor in module.named_parameters()]))
    ready = parameters_of(params, module)
    assert list(ready) == list(module.state_dict())
    assert torch.equal(ready["1.running_var"], torch.ones(2))


def test_parameters_of_another_architecture_are_refused():
    module = nn.Linear(2, 2)
    good = dict(module.state_dict())
    with pytest.raises(AlignmentError, match="lack 'bias'"):
        parameters_of({"weight": good["weight"]}, module)
    with pytest.raises(AlignmentError, match="have 'extra', which the model does not"):
        parameters_of({**good, "extra": torch.zeros(1)}, module)
    with pytest.raises(AlignmentError, match=r"'bias' has shape \[3\], the model expects \[2\]"):
        parameters_of({**good, "bias": torch.zeros(3)}, module)


def test_a_tied_parameter_goes_by_its_first_name(setup_of):
    setup = setup_of("tied")
    assert list(setup.module.state_dict()) == ["embed.weight", "mix.weight", "mix.bias", "out.weight"]
    assert list(setup.params) == ["embed.weight", "mix.weight", "mix.bias"]
    moved = {name: tensor + 1 for name, tensor in setup.params.items()}
    tokens = setup.batches[0][0]
    found = setup.model.predict({**moved, "out.weight": torch.zeros(5, 3).double()}, tokens)
    hidden = torch.tanh(moved["embed.weight"][tokens].mean(1) @ moved["mix.weight"].T + moved["mix.bias"])
    assert torch.allclose(found, hidden @ moved["embed.weight"].T)
