from __future__ import annotations

import pytest
import torch
from torch import nn

from paretomerge.curvature import LossModel, loss_gradient
from paretomerge.errors import DataError


@pytest.mark.parametrize("kind", ["mlp", "regression", "attention", "tied"])
def test_it_is_the_gradient_of_the_mean_loss_over_all_examples(setup_of, mean_loss, kind):
    setup = setup_of(kind)
    leaves = {name: setup.params[name].clone().requires_grad_() for name in setup.model.trainable}
    loss = mean_loss(setup, {**setup.params, **leaves})
    expected = torch.autograd.grad(loss, list(leaves.values()))
    found = loss_gradient(setup.model, setup.params, setup.batches)
    assert found.loss == pytest.approx(float(loss.detach()), rel=1e-12)
    assert found.examples == 9
    for name, gradient in zip(leaves, expected, strict=True):
        assert torch.allclose(found.gradient[name], gradient, rtol=1e-10, atol=1e-14)


def test_squared_is_the_mean_over_batches_of_their_squared_gradients(setup_of):
    setup = setup_of("mlp")
    found = loss_gradient(setup.model, setup.params, setup.batches).squared
    each = [loss_gradient(setup.model, setup.params, [batch]).gradient for batch in setup.batches]
    for name in found:
        assert torch.allclose(found[name], torch.stack([g[name] ** 2 for g in each]).mean(0), rtol=1e-12)


@pytest.mark.parametrize("limit", [2, 4, 7])
def test_a_limit_takes_exactly_the_first_examples(setup_of, limit):
    setup = setup_of("mlp")
    x, y = setup.whole[0]
    found = loss_gradient(setup.model, setup.params, setup.batches, limit)
    expected = loss_gradient(setup.model, setup.params, [(x[:limit], y[:limit])])
    assert found.loss == pytest.approx(expected.loss, rel=1e-12)
    assert torch.allclose(found.gradient["0.weight"], expected.gradient["0.weight"], rtol=1e-12)


def test_parameters_without_effect_have_gradient_zero():
    class TwoHeads(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.other = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, inputs):
            return self.used(inputs)

    module = TwoHeads()
    found = loss_gradient(LossModel.of(module), module.state_dict(), [(torch.randn(4, 3), torch.zeros(4).long())])
    assert found.gradient["used.weight"].any()
    assert not found.gradient["other.weight"].any()


def test_the_tied_weight_gathers_both_of_its_uses(setup_of):
    found = loss_gradient((setup := setup_of("tied")).model, setup.params, setup.batches)
    assert list(found.gradient) == ["embed.weight", "mix.weight", "mix.bias"]


def test_no_examples_are_refused(setup_of):
    setup = setup_of("mlp")
    with pytest.raises(DataError, match="the split is empty, or the limit is not positive"):
        loss_gradient(setup.model, setup.params, setup.batches, limit=0)
