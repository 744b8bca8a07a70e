from __future__ import annotations

import pytest
import torch
from torch import nn

from paretomerge.curvature.layers import MatrixLayer, layers_of


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3},
        {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 2)},
        {"kernel_size": 2, "dilation": 2, "padding": 1},
        {"kernel_size": 4, "padding": "same"},
        {"kernel_size": 3, "padding": "valid"},
    ],
)
def test_patches_times_the_weight_are_the_convolution(options):
    torch.manual_seed(0)
    module = nn.Conv2d(2, 3, **options, bias=False).double()
    images = torch.randn(4, 2, 7, 6).double()
    (layer,) = layers_of(nn.Sequential(module), ["0.weight"])
    patches = layer.geometry.patches(images)
    assert torch.allclose((patches @ module.weight.flatten(1).T).mT, module(images).flatten(2), atol=1e-12)


def test_moments_are_sums_over_examples_of_means_over_real_positions():
    torch.manual_seed(0)
    layer = MatrixLayer("l", "l.weight", "l.bias")
    a, g = torch.randn(2, 3, 2).double(), torch.randn(2, 3, 4).double()
    real = torch.tensor([[1, 1, 0], [1, 1, 1]])
    ones = torch.cat([a, torch.ones(2, 3, 1)], -1)
    rows = [[ones[0, 0], ones[0, 1]], list(ones[1])]
    expand = sum(torch.outer(x, x) / len(row) for row in rows for x in row)
    means = [torch.stack(row).mean(0) for row in rows]
    assert torch.allclose(layer.input_moment([(a, g)], "expand", real), expand)
    assert torch.allclose(layer.input_moment([(a, g)], "reduce", real), sum(torch.outer(m, m) for m in means))
    assert torch.allclose(layer.output_moment([(a, g)], "expand"), sum(torch.outer(v, v) for v in g.flatten(0, 1)))
    assert torch.allclose(layer.output_moment([(a, g)], "reduce"), sum(torch.outer(v, v) for v in g.sum(1)))


def test_a_mask_of_other_positions_is_none_of_a_layers_business():
    layer = MatrixLayer("l", "l.weight", None)
    a, g = torch.randn(2, 3, 2), torch.randn(2, 3, 4)
    mask = torch.zeros(2, 5)
    assert torch.equal(layer.input_moment([(a, g)], "expand", mask), layer.input_moment([(a, g)], "expand", None))
