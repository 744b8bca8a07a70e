from __future__ import annotations

import torch
from tests.curvature.layers.zoo import Doubled, Scale, Tied
from torch import nn

from paretomerge.curvature.layers import LookupLayer, MatrixLayer, ScaleLayer, layers_of


def found(module, names=None):
    return layers_of(module, names if names is not None else [name for name, _ in module.named_parameters()])


def test_every_kind_is_recognised():
    kinds = {
        MatrixLayer: [nn.Linear(2, 2), nn.Conv1d(2, 2, 1), nn.Conv2d(2, 2, 1), nn.Conv3d(2, 2, 1)],
        LookupLayer: [nn.Embedding(3, 2)],
        ScaleLayer: [nn.LayerNorm(2), nn.RMSNorm(2), nn.GroupNorm(1, 2), nn.BatchNorm1d(2), nn.BatchNorm2d(2)],
    }
    for kind, modules in kinds.items():
        for module in modules:
            (layer,) = found(nn.Sequential(module))
            assert type(layer) is kind
            assert layer.names == tuple(f"0.{name}" for name, _ in module.named_parameters())


def test_what_is_not_its_kind_is_left_out():
    wrapped = nn.Linear(2, 2)
    wrapped.forward = lambda x: x
    for module in (
        Doubled(2, 2),
        wrapped,
        Scale(),
        nn.Embedding(3, 2, max_norm=1.0),
        nn.Embedding(3, 2, scale_grad_by_freq=True),
        nn.BatchNorm1d(2, track_running_stats=False),
        nn.ConvTranspose1d(2, 2, 1),
    ):
        assert found(nn.Sequential(module)) == [], module


def test_a_weight_that_is_computed_from_others_is_left_out_and_its_bias_is_not():
    (layer,) = found(nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))))
    assert layer.names == ("0.bias",)


def test_shared_parameters_are_left_out():
    assert [layer.name for layer in found(Tied())] == ["head"]


def test_only_trainable_parameters_count():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    assert [layer.names for layer in found(module, ["1.bias"])] == [("1.bias",)]
    assert found(module, []) == []


def test_a_module_that_is_a_layer_itself_has_names_without_a_dot():
    (layer,) = found(nn.Linear(2, 2))
    assert layer.names == ("weight", "bias")


def test_another_parameter_of_the_same_module_leaves_it_out():
    module = nn.Linear(2, 2)
    module.extra = nn.Parameter(torch.ones(2))
    assert found(module) == []
