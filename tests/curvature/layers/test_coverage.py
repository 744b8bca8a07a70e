"""Which way each parameter's gradients are found; and, whichever it is, the numbers are the loop's."""

from __future__ import annotations

import pytest
import torch
from tests.curvature.layers.zoo import COUNT, ZOO, loss_model, require_equal, squares_by_loop
from torch import nn

from paretomerge.curvature import LossModel, diagonal_fisher
from paretomerge.curvature.layers import find_coverage


@pytest.mark.parametrize("name", ZOO)
def test_each_parameter_goes_the_way_its_use_allows(name):
    model, params, inputs, _ = loss_model(name)
    found = find_coverage(model, params, inputs, COUNT)
    row = ZOO[name]
    assert (dict(found.spread), found.idle, found.separable) == (row.spread, row.idle, row.separable)
    assert found.rest == (row.rest if row.separable else model.trainable)
    covered = [n for layer in found.layers for n in layer.names]
    everything = sorted([*covered, *found.spread, *found.idle, *found.rest])
    assert everything == sorted(model.trainable)


@pytest.mark.parametrize("labels", ["empirical", "ggn"])
@pytest.mark.parametrize("name", [name for name, row in ZOO.items() if row.separable])
def test_the_diagonal_is_the_loops(name, labels):
    model, params, inputs, targets = loss_model(name)
    batches = [(inputs[:4], targets[:4]), (inputs[4:], targets[4:])]
    require_equal(
        diagonal_fisher(model, params, batches, labels, chunk=3).diagonal,
        squares_by_loop(model, params, batches, labels),
    )


def test_where_examples_depend_on_each_other_each_is_a_batch_of_its_own():
    model, params, inputs, targets = loss_model("batch statistics")
    require_equal(
        diagonal_fisher(model, params, [(inputs, targets)], "empirical").diagonal,
        squares_by_loop(model, params, [(inputs, targets)], "empirical"),
    )


class Times(nn.Module):
    """Logits `(w x, 0)` with `w` no layer's."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return torch.cat([self.weight * x, torch.zeros_like(x)], -1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("build", [lambda: nn.Linear(1, 2, bias=False), Times])
def test_half_precision_keeps_its_sums(build, dtype):
    """Squares of 2^-13 underflow in float16, and sums of many lose the later ones in bfloat16."""
    module = build().to(dtype)
    nn.init.zeros_(module.weight)
    inputs = torch.full((512, 1), 2.0**-12, dtype=dtype)
    batch = (inputs, torch.zeros(512).long())
    found = diagonal_fisher(LossModel.of(module), module.state_dict(), [batch], "empirical").diagonal["weight"]
    expected = float(torch.tensor(2.0**-26).to(dtype))
    assert found.double().flatten().tolist() == pytest.approx([expected] * found.numel())


def test_one_example_is_enough_to_tell_sums_over_examples():
    model, params, inputs, targets = loss_model("embedding")
    find_coverage(model, params, inputs[:1], 1)
    require_equal(
        diagonal_fisher(model, params, [(inputs, targets)], "empirical").diagonal,
        squares_by_loop(model, params, [(inputs, targets)], "empirical"),
    )


def test_without_a_module_every_parameter_is_differentiated_example_by_example():
    model, params, inputs, targets = loss_model("perceptron")
    blind = LossModel(model.predict, model.likelihood, model.trainable)
    assert find_coverage(blind, params, inputs, COUNT).rest == model.trainable
    require_equal(
        diagonal_fisher(blind, params, [(inputs, targets)], "empirical").diagonal,
        diagonal_fisher(model, params, [(inputs, targets)], "empirical").diagonal,
    )


def test_the_trial_is_made_once_for_a_model():
    model, params, inputs, _ = loss_model("perceptron")
    assert find_coverage(model, params, inputs, COUNT) is find_coverage(model, params, inputs, COUNT)


@pytest.mark.parametrize(("size", "layers"), [(1e-16, ["noisy", "head"]), (1e-9, ["head"])])
def test_differences_of_the_size_of_rounding_errors_do_not_cost_a_layer(size, layers):
    """Such as those of keys' biases in attention, whose gradient is zero in theory."""

    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.noisy, self.head = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(x) + size * len(x) * self.noisy(x)

    torch.manual_seed(0)
    module = Noisy().double()
    found = find_coverage(LossModel.of(module), module.state_dict(), torch.randn(3, 4).double(), 3)
    assert [layer.name for layer in found.layers] == layers
