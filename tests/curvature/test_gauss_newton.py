from __future__ import annotations

import pytest
import torch
from torch import nn

from paretomerge.curvature import dense_gauss_newton, expand_in_subspace
from paretomerge.posteriors import Basis, DirectionLabel, task_vector_basis
from paretomerge.types import Layout

KINDS = ("mlp", "regression", "linear", "attention", "tied")


def explicit(setup, names):
    """Loss, gradient and `mean JᵀHJ` one example at a time, Jacobian and output Hessian from plain autograd."""
    layout = Layout({name: tuple(setup.params[name].shape) for name in names})
    start = layout.flatten(setup.params)
    tied = {name for name, _ in setup.module.named_parameters(remove_duplicate=False)} - set(setup.params)
    losses, gradients, curvatures = [], [], []
    for x, y in [(xs[i : i + 1], ys[i : i + 1]) for xs, ys in setup.batches for i in range(len(ys))]:

        def outputs_of(vector, x=x):
            params = {**setup.params, **layout.unflatten(vector)}
            assert not tied & set(params)
            return torch.func.functional_call(setup.module, params, (x,))

        def loss_of(outputs, y=y):
            return setup.model.likelihood.losses(outputs, y)[0]

        outputs = outputs_of(start).detach()
        jacobian = torch.autograd.functional.jacobian(outputs_of, start)[0]
        hessian = torch.autograd.functional.hessian(loss_of, outputs)[0, :, 0]
        losses.append(loss_of(outputs))
        gradients.append(jacobian.T @ torch.autograd.functional.jacobian(loss_of, outputs)[0])
        curvatures.append(jacobian.T @ hessian @ jacobian)
    return torch.stack(losses).mean(), torch.stack(gradients).mean(0), torch.stack(curvatures).mean(0)


def some_basis(setup, grouping="tensor"):
    torch.manual_seed(11)
    tunes = {
        task: {name: tensor + torch.randn_like(tensor) for name, tensor in setup.params.items()} for task in ("s", "t")
    }
    return task_vector_basis(setup.params, tunes, grouping)


def as_matrix(basis, params):
    layout = Layout.of(params)
    columns = []
    for direction in basis.directions:
        whole = {name: direction.get(name, torch.zeros_like(tensor)) for name, tensor in params.items()}
        columns.append(layout.flatten(whole))
    return torch.stack(columns, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_dense_matrix_is_the_explicit_one(setup_of, kind):
    setup = setup_of(kind)
    found = dense_gauss_newton(setup.model, setup.params, setup.batches, setup.model.trainable)
    loss, gradient, curvature = explicit(setup, setup.model.trainable)
    assert found.loss == pytest.approx(float(loss), rel=1e-12)
    assert torch.allclose(found.gradient, gradient, rtol=1e-10, atol=1e-13)
    assert torch.allclose(found.curvature, curvature, rtol=1e-10, atol=1e-13)
    assert torch.equal(found.curvature, found.curvature.T)
    assert found.examples == 9


def test_some_names_give_the_sub_block_in_their_order(setup_of):
    setup = setup_of("mlp")
    names = ["2.bias", "0.weight"]
    found = dense_gauss_newton(setup.model, setup.params, setup.batches, names)
    assert torch.allclose(found.curvature, explicit(setup, names)[2], rtol=1e-10, atol=1e-13)


def test_where_outputs_are_linear_in_the_parameters_it_is_the_hessian(setup_of, mean_loss):
    setup = setup_of("linear")
    layout = Layout.of(setup.params)
    hessian = torch.autograd.functional.hessian(
        lambda vector: mean_loss(setup, layout.unflatten(vector)), layout.flatten(setup.params)
    )
    found = dense_gauss_newton(setup.model, setup.params, setup.batches, setup.model.trainable)
    assert torch.allclose(found.curvature, hessian, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("grouping", ["model", "tensor"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_expansion_is_the_explicit_one_along_the_directions(setup_of, kind, grouping, mode):
    setup = setup_of(kind)
    basis = some_basis(setup, grouping)
    V = as_matrix(basis, setup.params)
    loss, gradient, curvature = explicit(setup, setup.model.trainable)
    found = expand_in_subspace(setup.model, setup.params, basis, setup.batches, mode=mode)
    assert found.loss == pytest.approx(float(loss), rel=1e-12)
    assert torch.allclose(found.gradient, V.T @ gradient, rtol=1e-9, atol=1e-12)
    assert torch.allclose(found.curvature, V.T @ curvature @ V, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", ["forward", "reverse", "auto"])
def test_batches_and_the_mode_change_nothing(setup_of, mode):
    setup = setup_of("mlp")
    basis = some_basis(setup, "model") + some_basis(setup, "tensor")
    whole = expand_in_subspace(setup.model, setup.params, basis, setup.whole, mode="forward")
    found = expand_in_subspace(setup.model, setup.params, basis, setup.batches, mode=mode)
    assert torch.allclose(found.curvature, whole.curvature, rtol=1e-10, atol=1e-13)
    assert torch.allclose(found.gradient, whole.gradient, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("limit", [3, 5, 6])
def test_a_limit_takes_exactly_the_first_examples(setup_of, limit):
    setup = setup_of("mlp")
    x, y = setup.whole[0]
    first = [(x[:limit], y[:limit])]
    basis = some_basis(setup)
    for found, expected in (
        (
            expand_in_subspace(setup.model, setup.params, basis, setup.batches, limit),
            expand_in_subspace(setup.model, setup.params, basis, first),
        ),
        (
            dense_gauss_newton(setup.model, setup.params, setup.batches, ["0.bias"], limit),
            dense_gauss_newton(setup.model, setup.params, first, ["0.bias"]),
        ),
    ):
        assert found.examples == expected.examples == limit
        assert found.loss == pytest.approx(expected.loss, rel=1e-12)
        assert torch.allclose(found.curvature, expected.curvature, rtol=1e-10, atol=1e-13)


def test_directions_the_outputs_do_not_depend_on_have_no_curvature(setup_of):
    setup = setup_of("mlp")

    class Wider(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = setup.module, nn.Linear(2, 2).double()

        def forward(self, inputs):
            return self.used(inputs)

    module = Wider()
    params = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    directions = ({"unused.weight": torch.ones(2, 2).double()}, {"used.0.bias": torch.ones(4).double()})
    basis = Basis(directions, (DirectionLabel(), DirectionLabel()))
    found = expand_in_subspace(type(setup.model).of(module), params, basis, setup.batches)
    assert not found.curvature[0].any()
    assert not found.gradient[0]
    assert found.curvature[1, 1] > 0


@pytest.mark.parametrize("kind", ["mlp", "regression"])
def test_curvlinops_has_the_same_gauss_newton_matrix(setup_of, kind):
    curvlinops = pytest.importorskip("curvlinops", reason="the development oracle curvlinops is not installed")
    setup = setup_of(kind)
    loss = nn.CrossEntropyLoss() if kind == "mlp" else nn.MSELoss()
    operator = oracle(curvlinops, setup.module, loss, setup.batches)
    expected = operator @ torch.eye(operator.shape[0], dtype=torch.float64)
    if kind == "regression":
        # nn.MSELoss divides by examples × outputs and has no half: ours is half the squared distance per example.
        expected = expected * setup.batches[0][1].shape[1] / 2
    found = dense_gauss_newton(setup.model, setup.params, setup.batches, setup.model.trainable).curvature
    assert float((found - expected).norm() / expected.norm()) < 1e-5


def test_curvlinops_has_the_same_matrix_of_a_transformer_along_directions(tiny_bert):
    curvlinops = pytest.importorskip("curvlinops", reason="the development oracle curvlinops is not installed")
    setup = tiny_bert("eager")
    names = [name for name, _ in setup.module.named_parameters()]
    tunes = {task: {n: setup.params[n] + torch.randn_like(setup.params[n]) for n in names} for task in ("s", "t")}
    basis = task_vector_basis({name: setup.params[name] for name in names}, tunes, "layer")

    class Logits(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = setup.module

        def forward(self, inputs):
            return self.inner(**inputs).logits

    operator = oracle(curvlinops, Logits(), nn.CrossEntropyLoss(), setup.batches, lambda x: len(x["input_ids"]))
    V = as_matrix(basis, {name: setup.params[name] for name in names})
    expected = V.T @ (operator @ V)
    found = expand_in_subspace(setup.model, setup.params, basis, setup.batches).curvature
    assert float((found - expected).norm() / expected.norm()) < 1e-5
    dense = dense_gauss_newton(setup.model, setup.params, setup.batches, names[-2:]).curvature
    head = V.new_zeros(V.shape[0], len(dense))
    head[-len(dense) :] = torch.eye(len(dense), dtype=torch.float64)
    expected = head.T @ (operator @ head)
    assert float((dense - expected).norm() / expected.norm()) < 1e-5


def oracle(curvlinops, module, loss, batches, batch_size_fn=None):
    return curvlinops.GGNLinearOperator(module, loss, list(module.parameters()), batches, batch_size_fn=batch_size_fn)
