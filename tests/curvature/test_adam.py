from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from paretomerge.curvature import adam_posterior, trainer_groups
from paretomerge.errors import PosteriorError


class Small(nn.Module):
    """Weights, a bias, a normalisation of torch's and one by name, and a parameter of the root."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))
        self.norm = nn.LayerNorm(2)
        self.inner = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
        self.final_norm = nn.RMSNorm(2)
        self.unused = nn.Linear(2, 2)


def stepped(module, kind=torch.optim.AdamW, groups=None, steps=3, **settings):
    """Take steps with known gradients; returns the optimizer's state and the gradients."""
    optimizer = kind(groups or [p for p in module.parameters() if p.requires_grad], **settings)
    generator = torch.Generator().manual_seed(0)
    gradients = []
    for _ in range(steps):
        for name, parameter in module.named_parameters():
            if parameter.requires_grad and "unused" not in name:
                parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
        gradients.append({n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None})
        optimizer.step()
    return optimizer.state_dict(), gradients


@pytest.mark.parametrize("variant", [{"foreach": True}, {"foreach": False}, {"fused": True}, {"amsgrad": True}])
def test_the_precision_is_the_bias_corrected_mean_of_squares_times_the_batch(variant):
    module = Small()
    state, gradients = stepped(module, lr=0.1, betas=(0.9, 0.7), weight_decay=0.1, **variant)
    found = adam_posterior(state, module, batch_size=6)
    weights = torch.tensor([0.3 * 0.7**2, 0.3 * 0.7, 0.3])
    weights /= weights.sum()
    for name, value in gradients[0].items():
        expected = 6 * sum(w * g[name] ** 2 for w, g in zip(weights, gradients, strict=True))
        assert torch.allclose(found.precision[name], expected, rtol=1e-5), name
        assert value.shape == found.mean[name].shape
        assert torch.equal(found.mean[name], dict(module.named_parameters())[name])
    assert not found.precision["unused.weight"].any()
    assert set(found.mean) == {name for name, _ in module.named_parameters()}


def test_two_groups_are_those_of_the_trainer():
    """Decayed first; biases, layer normalisations, and what is named like one come second."""
    module = Small()
    module.inner[1].bias.requires_grad_(False)
    decayed, others = trainer_groups(module)
    assert list(decayed) == ["scale", "inner.0.weight", "inner.1.weight", "unused.weight"]
    assert list(others) == ["norm.weight", "norm.bias", "inner.0.bias", "final_norm.weight", "unused.bias"]
    groups = [{"params": list(group.values())} for group in (decayed, others)]
    state, gradients = stepped(module, groups=groups, steps=1)
    found = adam_posterior(state, module, batch_size=1)
    for name, gradient in gradients[0].items():
        assert torch.allclose(found.precision[name], gradient**2, rtol=1e-5), name


def test_names_that_the_state_holds_come_first():
    module = Small()
    backwards = list(module.named_parameters())[::-1]
    state, gradients = stepped(module, groups=backwards, steps=1)
    found = adam_posterior(state, module, batch_size=1)
    assert torch.allclose(found.precision["scale"], gradients[0]["scale"] ** 2, rtol=1e-5)
    with pytest.raises(PosteriorError, match=r"the optimizer trained '.*', which the model does not have"):
        adam_posterior(state, nn.Linear(2, 2), batch_size=1)


def test_groups_may_be_given_by_name():
    module = Small()
    named = dict(module.named_parameters())
    order = [["scale"], ["inner.0.weight", "norm.weight"], ["norm.bias"]]
    state, gradients = stepped(module, groups=[{"params": [named[n] for n in names]} for names in order], steps=1)
    found = adam_posterior(state, [{f"x.{n}": named[n] for n in names} for names in order], batch_size=2)
    assert list(found.mean) == ["x.scale", "x.inner.0.weight", "x.norm.weight", "x.norm.bias"]
    assert torch.allclose(found.precision["x.norm.weight"], 2 * gradients[0]["norm.weight"] ** 2, rtol=1e-5)
    with pytest.raises(PosteriorError, match="3 groups of parameters, and only the two of a Hugging Face Trainer"):
        adam_posterior(state, module, batch_size=1)


def test_another_number_of_parameters_is_refused():
    module = Small()
    state, _ = stepped(module)
    module.scale.requires_grad_(False)
    with pytest.raises(PosteriorError, match=r"groups hold \[10\] parameters, the model's \[9\]: .* set requires_grad"):
        adam_posterior(state, module, batch_size=1)


def test_another_shape_is_refused_with_the_name():
    state, _ = stepped(Small())
    other = Small()
    other.inner[0] = nn.Linear(2, 4)
    with pytest.raises(PosteriorError, match=r"for 'inner.0.weight' has shape \[3, 2\], the parameter \[4, 2\]"):
        adam_posterior(state, other, batch_size=1)


def entry(**changes):
    return {"state": {0: changes}, "param_groups": [{"params": [0], "betas": (0.9, 0.99)}]}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (entry(state1=torch.zeros(4), state2=torch.zeros(4)), "bitsandbytes keeps them quantised"),
        (entry(step=1, exp_avg_sq_row=torch.zeros(2), exp_avg_sq_col=torch.zeros(2)), "Adafactor keeps row and column"),
        (entry(step=1, exp_avg_sq=torch.ones(2, 2), RMS=1.0), "Adafactor"),
        (entry(step=1, exp_avg_sq=torch.ones(2, 2), projector=None), "GaLore"),
        (entry(momentum_buffer=torch.zeros(2, 2)), "the optimizer keeps momentum_buffer"),
        (entry(), "the optimizer keeps nothing"),
    ],
)
def test_other_optimizers_are_refused_by_what_they_keep(state, message):
    with pytest.raises(PosteriorError, match=f"'weight' has no second moments of Adam: {message}.*adamw_torch"):
        adam_posterior(state, nn.Linear(2, 2, bias=False), batch_size=1)


def test_no_step_and_no_gradient_are_no_posterior():
    module = nn.Linear(2, 2, bias=False)
    with pytest.raises(PosteriorError, match="second moments are all zero: no step was taken"):
        adam_posterior(torch.optim.AdamW(module.parameters()).state_dict(), module, batch_size=1)
    with pytest.raises(PosteriorError, match="has taken no step for 'weight'"):
        adam_posterior(entry(step=0, exp_avg_sq=torch.ones(2, 2)), module, batch_size=1)
    state, _ = stepped(module)
    with pytest.raises(PosteriorError, match="batch_size must be positive, got 0"):
        adam_posterior(state, module, batch_size=0)


def test_broken_moments_are_refused():
    module = nn.Linear(2, 2, bias=False)
    with pytest.raises(PosteriorError, match="NaN or infinite"):
        adam_posterior(entry(step=1, exp_avg_sq=torch.full((2, 2), torch.nan)), module, batch_size=1)


def test_half_precision_moments_are_widened_and_the_state_is_left_alone():
    module = nn.Linear(2, 2, bias=False).bfloat16()
    state, gradients = stepped(module, steps=1)
    before = copy.deepcopy(state)
    found = adam_posterior(state, module, batch_size=1)
    assert found.precision["weight"].dtype == torch.float32
    assert found.mean["weight"].dtype == torch.bfloat16
    assert torch.allclose(found.precision["weight"], gradients[0]["weight"].float() ** 2, rtol=2e-2)
    assert torch.equal(state["state"][0]["exp_avg_sq"], before["state"][0]["exp_avg_sq"])
