"""Curvature of models with one output per token, against one example and one label at a time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from paretomerge.curvature import (
    LossModel,
    dense_gauss_newton,
    diagonal_fisher,
    expand_in_subspace,
    gauss_newton,
    loss_gradient,
)
from paretomerge.posteriors import Basis, DirectionLabel
from paretomerge.types import Layout


class Tagger(nn.Module):
    """Tokens to logits, each from itself and the tokens before it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.out = nn.Linear(3, 5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.embed(tokens).cumsum(1)))


@pytest.fixture(params=["tokens", "causal"])
def setup(request):
    torch.manual_seed(2)
    module = Tagger().double()
    params = {name: tensor.detach().clone() for name, tensor in module.named_parameters()}
    tokens = torch.randint(0, 5, (5, 4))
    targets = torch.where(torch.rand(5, 4) < 0.6, torch.randint(0, 5, (5, 4)), -100)
    targets[0] = torch.tensor([1, 2, 3, 4])
    batches = [(tokens[:3], targets[:3]), (tokens[3:], targets[3:])]
    return LossModel.of(module, request.param), params, batches


def explicit(model, params, batches):
    """Mean loss, gradient and Gauss-Newton matrix, label by label, without the likelihood's own formulas."""
    layout = Layout.of(params)
    start = layout.flatten(params)
    shift = model.likelihood.shift
    loss, gradient, curvature, examples = 0.0, torch.zeros(layout.size), torch.zeros(layout.size, layout.size), 0
    for tokens, targets in batches:
        for row, labels in zip(tokens, targets, strict=True):
            jacobian = torch.autograd.functional.jacobian(
                lambda v, row=row: model.predict(layout.unflatten(v), row[None])[0], start
            )
            p = model.predict(params, row[None])[0].softmax(-1)
            labelled = [i for i in range(shift, 4) if labels[i] != -100]
            for i in labelled:
                q, j = p[i - shift], jacobian[i - shift]
                loss -= float(q[labels[i]].log()) / len(labelled)
                gradient = gradient + (q - nn.functional.one_hot(labels[i], 5)) @ j / len(labelled)
                curvature = curvature + j.T @ (q.diag() - q.outer(q)) @ j / len(labelled)
            examples += 1
    return loss / examples, gradient / examples, curvature / examples


def test_the_dense_matrix_is_the_mean_over_labels(setup):
    model, params, batches = setup
    loss, gradient, curvature = explicit(model, params, batches)
    found = dense_gauss_newton(model, params, batches, list(params))
    assert found.loss == pytest.approx(loss, rel=1e-12)
    assert torch.allclose(found.gradient, gradient, atol=1e-13)
    assert torch.allclose(found.curvature, curvature, atol=1e-13)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_subspace_takes_the_dense_matrix_along_its_directions(setup, mode):
    model, params, batches = setup
    generator = torch.Generator().manual_seed(4)
    directions = tuple(
        {name: torch.randn(params[name].shape, generator=generator, dtype=torch.float64) for name in names}
        for names in (list(params), ["out.bias"], ["embed.weight"])
    )
    basis = Basis(directions, tuple(DirectionLabel("task_vector", "t", str(d)) for d in range(3)))
    layout = Layout.of(params)
    zeros = {name: torch.zeros_like(tensor) for name, tensor in params.items()}
    matrix = torch.stack([layout.flatten({**zeros, **direction}) for direction in directions])
    dense = dense_gauss_newton(model, params, batches, list(params))
    found = expand_in_subspace(model, params, basis, batches, mode=mode)
    assert torch.allclose(found.gradient, matrix @ dense.gradient, atol=1e-13)
    assert torch.allclose(found.curvature, matrix @ dense.curvature @ matrix.T, atol=1e-12)
    assert found.loss == pytest.approx(dense.loss, rel=1e-12)
    assert found.passes == (15 if mode == "forward" else 5 * 4 * 5)


def test_batches_too_large_for_memory_are_taken_in_parts(setup, monkeypatch):
    model, params, batches = setup
    direction = {name: torch.randn_like(tensor) for name, tensor in params.items()}
    other = {name: torch.randn_like(tensor) for name, tensor in params.items()}
    basis = Basis((direction, other), (DirectionLabel("a"), DirectionLabel("b")))
    whole = expand_in_subspace(model, params, basis, batches, 4)
    seen = []
    real = gauss_newton.output_tangents

    def watched(model, params, basis, inputs, targets, mode):
        seen.append(len(targets))
        return real(model, params, basis, inputs, targets, mode)

    monkeypatch.setattr(gauss_newton, "output_tangents", watched)
    monkeypatch.setattr(gauss_newton, "LARGEST_TANGENTS", 2 * 2 * 4 * 5 * 8)  # two examples, two directions
    parts = expand_in_subspace(model, params, basis, batches, 4)
    assert seen == [2, 1, 1]
    assert (parts.examples, parts.passes) == (whole.examples, whole.passes) == (4, 8)
    torch.testing.assert_close(parts.curvature, whole.curvature, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(parts.gradient, whole.gradient, rtol=1e-13, atol=1e-15)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-14)
    monkeypatch.setattr(gauss_newton, "LARGEST_TANGENTS", 1)
    assert torch.allclose(expand_in_subspace(model, params, basis, batches, 4).curvature, whole.curvature)


def test_the_true_fisher_is_the_gauss_newton_diagonal_on_average(setup):
    """Target: the exact diagonal; budget: 5 × 400 draws, whose standard error is a few percent."""
    model, params, batches = setup
    exact = dense_gauss_newton(model, params, batches, list(params)).curvature.diagonal()
    many = [(torch.cat([x for x, _ in batches]).repeat(400, 1), torch.cat([y for _, y in batches]).repeat(400, 1))]
    found = diagonal_fisher(model, params, many, chunk=512).diagonal
    drawn = torch.cat([tensor.reshape(-1) for tensor in found.values()])
    assert float((drawn - exact).abs().sum() / exact.sum()) < 0.06


def test_the_empirical_fisher_weighs_each_square_by_the_labels_of_its_example(setup):
    model, params, batches = setup
    found = diagonal_fisher(model, params, batches, "empirical", chunk=2)
    total, examples = {name: torch.zeros_like(tensor) for name, tensor in params.items()}, 0
    for tokens, targets in batches:
        for row, labels in zip(tokens, targets, strict=True):
            count = int((labels[model.likelihood.shift :] != -100).sum())
            gradient = loss_gradient(model, params, [(row[None], labels[None])]).gradient
            total = {name: tensor + count * gradient[name] ** 2 for name, tensor in total.items()}
            examples += 1
    for name, tensor in total.items():
        assert torch.allclose(found.diagonal[name], tensor / examples, rtol=1e-10, atol=1e-14), name


def test_a_causal_language_model_of_transformers_has_the_same_loss_and_curvature():
    """With labels everywhere the mean over examples is the loss that GPT-2 itself computes."""
    transformers = pytest.importorskip("transformers", reason="the optional extra hf is not installed")
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=11, n_positions=6, n_embd=4, n_layer=1, n_head=2)
    module = transformers.GPT2LMHeadModel(config).double().eval()
    tokens = torch.randint(0, 11, (3, 5))
    inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    model = LossModel.of(module, "causal")
    params = {name: tensor.detach() for name, tensor in module.named_parameters()}
    measured = loss_gradient(model, params, [(inputs, tokens)])
    loss = module(**inputs, labels=tokens).loss
    assert measured.loss == pytest.approx(float(loss.detach()), rel=1e-6)  # transformers computes its loss in float32
    basis = Basis((measured.gradient,), (DirectionLabel("gradient", "t", "model"),))
    expansion = expand_in_subspace(model, params, basis, [(inputs, tokens)])
    square = sum(float(tensor.square().sum()) for tensor in measured.gradient.values())
    assert float(expansion.gradient) == pytest.approx(square, rel=1e-10)
    fisher = diagonal_fisher(model, params, [(inputs, tokens)], "empirical")
    each = [
        loss_gradient(model, params, [({k: v[b : b + 1] for k, v in inputs.items()}, tokens[b : b + 1])]).gradient
        for b in range(3)
    ]
    name = "transformer.h.0.mlp.c_fc.weight"
    assert torch.allclose(fisher.diagonal[name], 4 * torch.stack([g[name] ** 2 for g in each]).mean(0), rtol=1e-9)
