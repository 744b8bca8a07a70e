from __future__ import annotations

import pytest
import torch
from torch import nn

from paretomerge.errors import AlignmentError
from paretomerge.types import call_module, load_in_place, outputs_of, require_fits, tied_names


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.out = nn.Embedding(3, 2), nn.Linear(2, 3, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens):
        return self.out(self.embed(tokens))


def test_inputs_are_a_tensor_or_keyword_arguments():
    class Output:
        logits = torch.ones(1)

    class Model(nn.Module):
        def forward(self, x, y=0):
            return x + y

    assert call_module(Model(), torch.tensor([1.0])).item() == 1.0
    assert call_module(Model(), {"x": torch.tensor([1.0]), "y": torch.tensor([2.0])}).item() == 3.0
    assert outputs_of(Output()) is Output.logits


def test_parameters_are_copied_and_missing_buffers_stay():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    module[1].running_mean.fill_(3.0)
    own = dict(module.named_parameters())
    params = {name: torch.full_like(tensor, 2.0) for name, tensor in own.items()}
    load_in_place(module, params)
    assert all((tensor == 2.0).all() for tensor in own.values())
    assert module[1].running_mean.tolist() == [3.0, 3.0]
    params["0.weight"].fill_(9.0)
    assert (module[0].weight == 2.0).all()
    load_in_place(module, {**params, "1.running_mean": torch.zeros(2)})
    assert module[1].running_mean.tolist() == [0.0, 0.0]


def test_parameters_of_another_architecture_are_refused_before_anything_is_written():
    module = nn.Linear(2, 2)
    before = module.weight.detach().clone()
    ones = {"weight": torch.ones(2, 2), "bias": torch.ones(2)}
    for wrong, message in (
        ({"weight": ones["weight"]}, "lack 'bias': they belong to another architecture"),
        ({**ones, "extra": torch.ones(1)}, "have 'extra', which the model does not"),
        ({**ones, "bias": torch.ones(3)}, r"'bias' has shape \[3\], the model expects \[2\]"),
    ):
        with pytest.raises(AlignmentError, match=message):
            load_in_place(module, wrong)
    assert torch.equal(module.weight, before)
    require_fits(ones, module)


def test_a_tied_parameter_is_written_once_under_its_first_name():
    module = Tied()
    assert tied_names(module) == {"out.weight"}
    assert tied_names(nn.Linear(2, 2)) == set()
    load_in_place(module, {"embed.weight": torch.ones(3, 2), "out.weight": torch.zeros(3, 2)})
    assert (module.embed.weight == 1.0).all()
    load_in_place(module, {"embed.weight": torch.full((3, 2), 5.0)})
    assert (module.out.weight == 5.0).all()
