from __future__ import annotations

import pytest
import torch

from paretomerge.curvature.likelihoods import UNLABELLED, likelihood_of
from paretomerge.errors import DataError

NAMES = ("categorical", "gaussian", "tokens", "causal")
TOKEN_TARGETS = [[0, 2, -100, 1], [-100, -100, 2, -100], [1, 1, 0, 2], [-100, 0, -100, -100]]


def some(name):
    """Four examples: outputs and targets, in float64."""
    generator = torch.Generator().manual_seed(1)
    if name in ("tokens", "causal"):
        return 3 * torch.randn(4, 4, 3, generator=generator, dtype=torch.float64), torch.tensor(TOKEN_TARGETS)
    outputs = 3 * torch.randn(4, 3, generator=generator, dtype=torch.float64)
    if name == "categorical":
        return outputs, torch.randint(0, 3, (4,), generator=generator)
    return outputs, torch.randn(4, 3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_those_of_the_losses(name):
    likelihood = likelihood_of(name)
    outputs, targets = some(name)
    leaf = outputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(likelihood.losses(leaf, targets).sum(), leaf)
    assert likelihood.losses(outputs, targets).shape == (4,)
    assert torch.allclose(likelihood.gradients(outputs, targets), gradient, atol=1e-14)
    size = outputs[0].numel()
    tangents = torch.randn(5, *outputs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for b in range(4):
        hessian = torch.autograd.functional.hessian(
            lambda row, b=b: likelihood.losses(row[None], targets[b : b + 1])[0], outputs[b]
        ).reshape(size, size)
        found = likelihood.curvature_product(outputs, tangents, targets)[:, b].reshape(5, size)
        assert torch.allclose(found, tangents[:, b].reshape(5, size) @ hessian, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_the_models_own_labels_obey_bartletts_identity(name):
    """Mean gradient zero, `E[n g gᵀ]` the curvature; budget 20 000 draws, five standard errors."""
    likelihood = likelihood_of(name)
    outputs, targets = some(name)
    size = outputs[0].numel()
    many, where = outputs[:1].expand(20_000, *outputs.shape[1:]), targets[:1].expand(20_000, *targets.shape[1:])
    drawn = likelihood.sample(many, torch.Generator().manual_seed(3), where)
    gradients = likelihood.gradients(many, drawn).reshape(20_000, size)
    assert (gradients.mean(0).abs() <= 5 * gradients.std(0) / 20_000**0.5).all()
    count = likelihood.label_counts(targets)[0]
    units = torch.eye(size, dtype=torch.float64).reshape(size, 1, *outputs.shape[1:])
    curvature = likelihood.curvature_product(outputs[:1], units, targets[:1]).reshape(size, size)
    assert torch.allclose(count * gradients.T @ gradients / 20_000, curvature, atol=0.04)


def test_a_token_loss_is_the_mean_over_labelled_positions():
    outputs, targets = some("tokens")
    log_p = outputs.log_softmax(-1)
    expected = -(log_p[0, 0, 0] + log_p[0, 1, 2] + log_p[0, 3, 1]) / 3
    assert likelihood_of("tokens").losses(outputs, targets)[0] == pytest.approx(float(expected), abs=1e-14)
    assert likelihood_of("tokens").label_counts(targets).tolist() == [3, 1, 4, 1]


def test_a_causal_position_predicts_the_next_token():
    outputs, targets = some("causal")
    log_p = outputs.log_softmax(-1)
    expected = -(log_p[0, 0, 2] + log_p[0, 2, 1]) / 2
    assert likelihood_of("causal").losses(outputs, targets)[0] == pytest.approx(float(expected), abs=1e-14)
    assert likelihood_of("causal").label_counts(targets).tolist() == [2, 1, 3, 1]


@pytest.mark.parametrize("name", ["tokens", "causal"])
def test_labels_are_drawn_only_where_targets_have_them(name):
    outputs, targets = some(name)
    drawn = likelihood_of(name).sample(outputs, torch.Generator().manual_seed(0), targets)
    shift = int(name == "causal")
    assert torch.equal(drawn[:, shift:] == UNLABELLED, targets[:, shift:] == UNLABELLED)
    assert (drawn[:, :shift] == UNLABELLED).all()
    sharp = outputs * 1e4
    drawn = likelihood_of(name).sample(sharp, torch.Generator().manual_seed(0), targets)
    assert drawn[2, shift:].tolist() == outputs[2].argmax(-1)[: 4 - shift].tolist()


@pytest.mark.parametrize("name", ["tokens", "causal"])
def test_an_example_without_labels_has_weight_zero(name):
    likelihood = likelihood_of(name)
    outputs, targets = some(name)[0][:1], torch.full((1, 4), UNLABELLED)
    assert likelihood.losses(outputs, targets).tolist() == [0.0]
    assert not likelihood.gradients(outputs, targets).any()
    assert not likelihood.curvature_product(outputs, torch.ones(2, *outputs.shape, dtype=torch.float64), targets).any()
    assert likelihood.label_counts(targets).tolist() == [0]


def test_token_curvature_needs_to_know_where_the_labels_are():
    outputs = some("tokens")[0]
    with pytest.raises(DataError, match="depends on which positions have labels"):
        likelihood_of("tokens").curvature_product(outputs, outputs[None])
    with pytest.raises(DataError, match="depends on which positions have labels"):
        likelihood_of("causal").sample(outputs, torch.Generator())


def test_targets_of_another_length_are_refused():
    outputs, targets = some("tokens")
    with pytest.raises(DataError, match=r"targets \[B, L\] must be of shape \[4, 4\], but they are \[4, 3\]: pad both"):
        likelihood_of("tokens").losses(outputs, targets[:, :3])
    with pytest.raises(DataError, match="choose the likelihood 'categorical' for one label per example"):
        likelihood_of("causal").losses(outputs[:, 0], targets[:, 0].clamp(min=0)[:, None])


def test_an_unknown_likelihood_is_refused():
    with pytest.raises(DataError, match="unknown likelihood 'poisson': one of categorical, gaussian, tokens, causal"):
        likelihood_of("poisson")
    with pytest.raises(DataError, match=r"did you mean 'causal'\?"):
        likelihood_of("casual")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_label_is_drawn_from_a_model_that_diverged(value):
    outputs = torch.tensor([[0.0, value, 1.0]])
    with pytest.raises(DataError, match=r"outputs are NaN or infinite, .* the finetune diverged"):
        likelihood_of("categorical").sample(outputs, torch.Generator().manual_seed(0))
