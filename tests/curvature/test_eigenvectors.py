from __future__ import annotations

import pytest
import torch

from paretomerge.curvature import LossModel, dense_gauss_newton
from paretomerge.curvature.eigenvectors import GaussNewton, leading_eigenvectors
from paretomerge.errors import PosteriorError
from paretomerge.types import Layout


def dense_of(setup):
    names = setup.model.trainable
    return Layout({n: tuple(setup.params[n].shape) for n in names}), dense_gauss_newton(
        setup.model, setup.params, setup.batches, names
    ).curvature


@pytest.mark.parametrize("name", ["mlp", "linear"])
def test_products_are_those_of_the_dense_matrix(setup_of, name):
    setup = setup_of(name)
    layout, dense = dense_of(setup)
    direction = torch.randn(layout.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    image = GaussNewton.of(setup.model, setup.params, setup.batches).apply(layout.unflatten(direction))
    assert torch.allclose(layout.flatten(image), dense @ direction, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("rank", [1, 4])
def test_they_are_the_leading_eigenvectors_of_the_dense_matrix(setup_of, rank):
    setup = setup_of("mlp")
    layout, dense = dense_of(setup)
    found = leading_eigenvectors(GaussNewton.of(setup.model, setup.params, setup.batches), rank, tolerance=1e-12)
    values, vectors = torch.linalg.eigh(dense)
    assert torch.allclose(found.values, values.flip(0)[:rank], rtol=1e-8)
    for r in range(rank):
        flat = torch.cat([found.vectors[n][r].reshape(-1) for n in layout.shapes])
        assert abs(float(flat @ vectors[:, -1 - r])) == pytest.approx(1.0, abs=1e-8)


def test_tokens_count_where_they_have_labels():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Linear(3, 5)).double()
    model = LossModel.of(module, "tokens")
    params = {name: tensor.detach() for name, tensor in module.state_dict().items()}
    labels = torch.tensor([[-100, 1, 2], [3, -100, -100]])
    batches = [(torch.tensor([[0, 1, 2], [3, 4, 0]]), labels)]
    layout = Layout({name: tuple(params[name].shape) for name in model.trainable})
    dense = dense_gauss_newton(model, params, batches, model.trainable).curvature
    direction = torch.randn(layout.size, dtype=torch.float64)
    image = GaussNewton.of(model, params, batches).apply(layout.unflatten(direction))
    assert torch.allclose(layout.flatten(image), dense @ direction, rtol=1e-10, atol=1e-13)


def test_zero_eigenvalues_are_left_out(setup_of):
    setup = setup_of("mlp")
    _, dense = dense_of(setup)
    true_rank = int(torch.linalg.matrix_rank(dense))
    asked = true_rank + 3
    assert asked < len(dense), "the setup has no null space"
    found = leading_eigenvectors(GaussNewton.of(setup.model, setup.params, setup.batches), asked)
    assert len(found.values) == true_rank


def test_the_limit_counts_examples(setup_of):
    setup = setup_of("mlp")
    assert GaussNewton.of(setup.model, setup.params, setup.batches, 3).examples == 3


def test_bad_ranks_and_flat_losses_are_refused(setup_of):
    setup = setup_of("mlp")
    curvature = GaussNewton.of(setup.model, setup.params, setup.batches)
    with pytest.raises(PosteriorError, match=r"from 1 to \d+ \(the parameters less one\), got 0"):
        leading_eigenvectors(curvature, 0)
    broken = {n: torch.full_like(t, float("nan")) for n, t in setup.params.items()}
    with pytest.raises(PosteriorError, match="zero or not finite"):
        leading_eigenvectors(GaussNewton.of(setup.model, broken, setup.batches), 1)
