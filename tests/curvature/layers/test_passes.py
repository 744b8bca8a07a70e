from __future__ import annotations

import pytest
import torch
from tests.curvature.layers.zoo import Unused, loss_model, require_equal, squares_by_loop
from torch import nn

from paretomerge.curvature import LossModel, diagonal_fisher, parameters_of
from paretomerge.curvature.layers import backward_passes, passes
from paretomerge.errors import PosteriorError


def fisher(model, params, batches, labels="empirical"):
    return diagonal_fisher(model, params, batches, labels).diagonal


def test_a_layer_that_only_a_later_batch_uses_is_not_missed():
    torch.manual_seed(3)
    module = Unused().double()
    model, params = LossModel.of(module), parameters_of(module.state_dict(), module)
    targets = torch.randint(0, 3, (4,))
    batches = [(torch.randn(4, length, 4).double(), targets) for length in (3, 5, 2, 6)]
    for labels in ("empirical", "ggn"):
        expected = squares_by_loop(model, params, batches, labels)
        assert float(expected["extra.weight"].sum()) > 0
        require_equal(fisher(model, params, batches, labels), expected)


def test_a_batch_axis_that_a_larger_batch_does_not_allow_is_given_up():
    """`position[:length]` cuts the batch axis where there are more examples than positions."""
    model, params, _, _ = loss_model("sliced")
    torch.manual_seed(0)
    batches = [(torch.randn(n, 3, 4).double(), torch.randint(0, 3, (n,))) for n in (2, 7)]
    require_equal(fisher(model, params, batches), squares_by_loop(model, params, batches, "empirical"))


def test_gradients_do_not_depend_on_the_other_examples_of_a_batch():
    model, params, inputs, targets = loss_model("padding")
    one = fisher(model, params, [(inputs[:1], targets[:1])])
    repeated = fisher(model, params, [(inputs[[0] * 6], targets[[0] * 6])])
    require_equal(repeated, one)


@pytest.mark.parametrize("no_gradient", [False, True])
def test_the_module_is_left_as_it_was(no_gradient):
    model, params, inputs, targets = loss_model("conv2d")
    module = model.module
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    flags = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    moved = {name: tensor + 0.1 for name, tensor in params.items()}
    fast = torch.backends.mha.get_fastpath_enabled()
    with torch.set_grad_enabled(not no_gradient):
        found = fisher(model, moved, [(inputs, targets)])
        assert torch.is_grad_enabled() == (not no_gradient)
    assert all(float(tensor.sum()) > 0 for tensor in found.values())
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert flags == {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not any(layer._forward_hooks for layer in module.modules())
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert not any(tensor.requires_grad for tensor in moved.values())


def test_hooks_are_gone_when_reading_stops_early_or_the_model_fails():
    model, params, inputs, targets = loss_model("perceptron")
    going = backward_passes(model, params, [(inputs, targets)] * 3, "empirical", None, torch.Generator(), 32)
    next(going)
    assert any(layer._forward_hooks for layer in model.module.modules())
    going.close()
    assert not any(layer._forward_hooks for layer in model.module.modules())
    wrong = [(inputs, targets), (inputs[:, :2], targets)]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fisher(model, params, wrong)
    assert not any(layer._forward_hooks for layer in model.module.modules())


def test_an_input_overwritten_after_the_trial_is_refused():
    class Fickle(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 3)

        def forward(self, x):
            x = 2 * x
            found = self.inner(x)
            return found + x.mul_(0.5).sum(-1, keepdim=True) if len(x) > 2 else found

    module = Fickle().double()
    batch = (torch.randn(4, 4).double(), torch.zeros(4).long())
    with pytest.raises(PosteriorError, match=r"overwrites the input of 'inner' in place.*returns a new tensor"):
        fisher(LossModel.of(module), module.state_dict(), [batch])


def test_a_layer_whose_rows_stop_being_examples_is_refused():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 3)

        def forward(self, x):
            return self.inner(torch.cat([x, x[:1]]))[:-1] if len(x) > 2 else self.inner(x)

    module = Mixed().double()
    batch = (torch.randn(4, 4).double(), torch.zeros(4).long())
    with pytest.raises(PosteriorError, match=r"'inner' has 5 rows for 4 examples"):
        fisher(LossModel.of(module), module.state_dict(), [batch])


def test_a_batch_without_any_label_counts_as_examples():
    module = nn.Linear(3, 4).double()
    model = LossModel.of(module, "tokens")
    inputs, none = torch.randn(2, 5, 3).double(), torch.full((2, 5), -100)
    labelled = torch.randint(0, 4, (2, 5))
    for labels in ("ggn", "true", "empirical"):
        both = diagonal_fisher(model, module.state_dict(), [(inputs, none), (inputs, labelled)], labels)
        one = diagonal_fisher(model, module.state_dict(), [(inputs, labelled)], labels)
        assert both.examples == 4
        assert both.loss == pytest.approx(one.loss / 2)
        if labels != "true":
            assert torch.allclose(both.diagonal["weight"], one.diagonal["weight"] / 2)


def test_fewer_examples_at_once_where_their_gradients_are_large(monkeypatch):
    model, params, inputs, targets = loss_model("tied")
    expected = fisher(model, params, [(inputs, targets)])
    seen = []
    original = passes.per_example

    def watching(differentiate):
        inner = original(differentiate)
        return lambda leaves, inputs, sent: seen.append(len(sent)) or inner(leaves, inputs, sent)

    monkeypatch.setattr(passes, "per_example", watching)
    monkeypatch.setattr(passes, "REST_ELEMENTS", 2 * params["one.weight"].numel())
    require_equal(fisher(model, params, [(inputs, targets)]), expected)
    assert seen == [2, 2, 1]
