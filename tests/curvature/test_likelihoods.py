from __future__ import annotations

import pytest
import torch

from paretomerge.curvature.likelihoods import likelihood_of
from paretomerge.errors import DataError


def some(name):
    generator = torch.Generator().manual_seed(1)
    outputs = 3 * torch.randn(4, 3, generator=generator, dtype=torch.float64)
    if name == "categorical":
        return outputs, torch.randint(0, 3, (4,), generator=generator)
    return outputs, torch.randn(4, 3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", ["categorical", "gaussian"])
def test_derivatives_are_those_of_the_losses(name):
    likelihood = likelihood_of(name)
    outputs, targets = some(name)
    leaf = outputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(likelihood.losses(leaf, targets).sum(), leaf)
    assert torch.allclose(likelihood.gradients(outputs, targets), gradient, atol=1e-14)
    tangents = torch.randn(5, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for b in range(4):
        hessian = torch.autograd.functional.hessian(
            lambda row, b=b: likelihood.losses(row[None], targets[b : b + 1])[0], outputs[b]
        )
        found = likelihood.curvature_product(outputs, tangents)[:, b]
        assert torch.allclose(found, tangents[:, b] @ hessian, atol=1e-13)


@pytest.mark.parametrize("name", ["categorical", "gaussian"])
def test_the_mean_gradient_under_the_models_own_labels_is_zero(name):
    """Target zero; budget 20 000 draws, five standard errors."""
    likelihood = likelihood_of(name)
    outputs = some(name)[0][:1].expand(20_000, -1)
    drawn = likelihood.sample(outputs, torch.Generator().manual_seed(3))
    gradients = likelihood.gradients(outputs, drawn)
    assert (gradients.mean(0).abs() < 5 * gradients.std(0) / 20_000**0.5).all()
    # Bartlett's identity: the covariance of the gradients is the curvature.
    curvature = likelihood.curvature_product(outputs[:1], torch.eye(3, dtype=torch.float64)[:, None])[:, 0]
    assert torch.allclose(gradients.T @ gradients / 20_000, curvature, atol=0.04)


def test_an_unknown_likelihood_is_refused():
    with pytest.raises(DataError, match="unknown likelihood 'poisson': one of categorical, gaussian"):
        likelihood_of("poisson")
