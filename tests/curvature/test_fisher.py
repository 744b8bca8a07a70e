from __future__ import annotations

import pytest
import torch
from torch import nn

from paretomerge.curvature import LossModel, dense_gauss_newton, diagonal_fisher
from paretomerge.errors import DataError

KINDS = ("mlp", "regression", "attention", "tied")


def squares_by_loop(setup, examples):
    """Mean squared gradients, one example after the other through the module itself."""
    likelihood = setup.model.likelihood
    named = {name: parameter for name, parameter in setup.module.named_parameters() if parameter.requires_grad}
    total = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
    for x, y in examples:
        inputs = {key: value[None] for key, value in x.items()} if isinstance(x, dict) else x[None]
        outputs = setup.module(**inputs).logits if isinstance(x, dict) else setup.module(inputs)
        gradients = torch.autograd.grad(likelihood.losses(outputs, y[None])[0], list(named.values()), allow_unused=True)
        for name, gradient in zip(named, gradients, strict=True):
            if gradient is not None:
                total[name] += gradient**2
    return {name: value / len(examples) for name, value in total.items()}


def examples_of(batches):
    return [(x[i], y[i]) for x, y in batches for i in range(len(y))]


def require_equal(found, expected, tolerance=1e-10):
    assert list(found) == list(expected)
    for name in expected:
        assert torch.allclose(found[name], expected[name], rtol=tolerance, atol=1e-14), name


@pytest.mark.parametrize("kind", KINDS)
def test_empirical_fisher_is_the_mean_of_squared_per_example_gradients(setup_of, kind):
    setup = setup_of(kind)
    found = diagonal_fisher(setup.model, setup.params, setup.batches, "empirical")
    require_equal(found.diagonal, squares_by_loop(setup, examples_of(setup.batches)))
    assert found.examples == 9


@pytest.mark.parametrize("kind", ["mlp", "regression"])
def test_true_fisher_takes_labels_that_the_model_draws(setup_of, kind):
    setup = setup_of(kind)
    found = diagonal_fisher(setup.model, setup.params, setup.batches, generator=torch.Generator().manual_seed(5))
    same = torch.Generator().manual_seed(5)
    drawn = [(x, setup.model.likelihood.sample(setup.module(x).detach(), same)) for x, _ in setup.batches]
    require_equal(found.diagonal, squares_by_loop(setup, examples_of(drawn)))
    observed = diagonal_fisher(setup.model, setup.params, setup.batches, "empirical")
    assert not torch.allclose(found.diagonal["0.weight"], observed.diagonal["0.weight"])
    assert found.loss == pytest.approx(observed.loss)


@pytest.mark.parametrize("kind", ["mlp", "regression"])
def test_true_fisher_is_the_gauss_newton_diagonal_on_average(setup_of, kind):
    """Target: the exact diagonal; budget: 9 × 300 draws, whose standard error is a few percent."""
    setup = setup_of(kind)
    exact = dense_gauss_newton(setup.model, setup.params, setup.batches, setup.model.trainable).curvature.diagonal()
    x, y = setup.whole[0]
    many = [(x.repeat(300, *[1] * (x.ndim - 1)), y.repeat(300, *[1] * (y.ndim - 1)))]
    found = diagonal_fisher(setup.model, setup.params, many, chunk=512).diagonal
    drawn = torch.cat([tensor.reshape(-1) for tensor in found.values()])
    assert float((drawn - exact).abs().sum() / exact.sum()) < 0.06


@pytest.mark.parametrize("labels", ["true", "empirical"])
def test_chunks_change_nothing(setup_of, labels):
    setup = setup_of("mlp")
    whole = diagonal_fisher(setup.model, setup.params, setup.batches, labels)
    require_equal(diagonal_fisher(setup.model, setup.params, setup.batches, labels, chunk=2).diagonal, whole.diagonal)


def test_batches_change_nothing(setup_of):
    setup = setup_of("mlp")
    found = diagonal_fisher(setup.model, setup.params, setup.whole, "empirical")
    other = diagonal_fisher(setup.model, setup.params, setup.batches, "empirical")
    require_equal(found.diagonal, other.diagonal)
    assert found.loss == pytest.approx(other.loss, rel=1e-12)


@pytest.mark.parametrize("limit", [1, 4, 5, 7])
def test_a_limit_takes_exactly_the_first_examples(setup_of, limit):
    setup = setup_of("mlp")
    found = diagonal_fisher(setup.model, setup.params, setup.batches, "empirical", limit)
    require_equal(found.diagonal, squares_by_loop(setup, examples_of(setup.batches)[:limit]))
    assert found.examples == limit


def test_it_is_taken_at_the_given_parameters_and_leaves_the_module_alone(setup_of):
    setup = setup_of("mlp")
    before = {name: tensor.clone() for name, tensor in setup.module.state_dict().items()}
    moved = {name: tensor + 0.5 for name, tensor in setup.params.items()}
    found = diagonal_fisher(setup.model, moved, setup.batches, "empirical")
    assert all(torch.equal(before[name], tensor) for name, tensor in setup.module.state_dict().items())
    setup.module.load_state_dict(moved)
    require_equal(found.diagonal, squares_by_loop(setup, examples_of(setup.batches)))


def test_a_model_that_looks_at_its_inputs_is_differentiated_example_by_example(setup_of):
    class Branching(nn.Linear):
        def forward(self, inputs):
            outputs = super().forward(inputs)
            return 2 * outputs if bool((inputs.sum(-1) > 0).all()) else outputs

    setup = setup_of("linear")
    module = Branching(3, 3, dtype=torch.float64)
    module.load_state_dict(setup.params)
    branching = type(setup)(module, LossModel.of(module), setup.params, setup.batches)
    single = [(x[i : i + 1], y[i : i + 1]) for x, y in setup.batches for i in range(len(y))]
    found = diagonal_fisher(branching.model, setup.params, single, "empirical")
    require_equal(found.diagonal, squares_by_loop(branching, examples_of(setup.batches)))


def test_an_error_of_the_model_is_not_swallowed(setup_of):
    setup = setup_of("mlp")
    wrong = [(torch.randn(2, 5, dtype=torch.float64), torch.zeros(2, dtype=torch.long))]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        diagonal_fisher(setup.model, setup.params, wrong)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_transformer_with_padding_equals_the_loop(tiny_bert, attention):
    setup = tiny_bert(attention)
    found = diagonal_fisher(setup.model, setup.params, setup.batches, "empirical")
    examples = [({k: v[i] for k, v in x.items()}, y[i]) for x, y in setup.batches for i in range(len(y))]
    require_equal(found.diagonal, squares_by_loop(setup, examples), 1e-8)


def test_no_examples_are_refused(setup_of):
    setup = setup_of("mlp")
    with pytest.raises(DataError, match="no examples to measure curvature on"):
        diagonal_fisher(setup.model, setup.params, [])


@pytest.mark.parametrize("kind", KINDS)
def test_the_exact_diagonal_is_that_of_the_dense_gauss_newton_matrix(setup_of, kind):
    setup = setup_of(kind)
    expected = dense_gauss_newton(setup.model, setup.params, setup.batches, setup.model.trainable).curvature.diagonal()
    found = diagonal_fisher(setup.model, setup.params, setup.batches, "ggn")
    assert torch.allclose(torch.cat([tensor.reshape(-1) for tensor in found.diagonal.values()]), expected, atol=1e-12)
    assert found.passes == 9 * {"regression": 2, "tied": 4}.get(kind, 2)


@pytest.mark.parametrize("kind", ["mlp", "regression", "transformer"])
def test_the_exact_diagonal_equals_curvlinops(setup_of, tiny_bert, kind):
    curvlinops = pytest.importorskip("curvlinops", reason="the development oracle curvlinops is not installed")
    setup = tiny_bert("eager") if kind == "transformer" else setup_of(kind)
    loss = nn.MSELoss() if kind == "regression" else nn.CrossEntropyLoss()

    class Logits(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, inputs):
            return self.inner(**inputs).logits if isinstance(inputs, dict) else self.inner(inputs)

    operator = curvlinops.GGNLinearOperator(
        Logits(setup.module),
        loss,
        list(setup.module.parameters()),
        setup.batches,
        check_deterministic=False,
        num_data=sum(len(y) for _, y in setup.batches),
        batch_size_fn=lambda x: len(x["input_ids"]) if isinstance(x, dict) else len(x),
    )
    size = sum(parameter.numel() for parameter in setup.module.parameters())
    expected = torch.cat([(operator @ part.T).T.diagonal(offset=start) for start, part in blocks_of_identity(size)])
    if kind == "regression":
        expected = expected * setup.batches[0][1].shape[1] / 2  # it divides by outputs, and has no half
    found = diagonal_fisher(setup.model, setup.params, setup.batches, "ggn")
    flat = torch.cat([tensor.reshape(-1) for tensor in found.diagonal.values()])
    assert torch.allclose(flat, expected, rtol=1e-8, atol=1e-10 * float(expected.max()))


def blocks_of_identity(size, step=64):
    """Rows of the identity, some at a time, with the number of the first."""
    return [(start, torch.eye(size, dtype=torch.float64)[start : start + step]) for start in range(0, size, step)]


@pytest.mark.parametrize("likelihood", ["categorical", "gaussian"])
def test_expected_squared_gradients_equal_curvlinops(setup_of, likelihood):
    """The oracle draws labels too: target its average over many draws, budget a few percent."""
    curvlinops = pytest.importorskip("curvlinops", reason="the development oracle curvlinops is not installed")
    setup = setup_of("mlp" if likelihood == "categorical" else "regression")
    x, y = setup.whole[0]
    loss = nn.CrossEntropyLoss() if likelihood == "categorical" else nn.MSELoss()
    operator = curvlinops.FisherMCLinearOperator(
        setup.module, loss, list(setup.module.parameters()), [(x, y)], mc_samples=2000
    )
    size = sum(parameter.numel() for parameter in setup.module.parameters())
    expected = (operator @ torch.eye(size, dtype=torch.float64)).diagonal()
    if likelihood == "gaussian":
        # nn.MSELoss divides by examples × outputs and has no half: ours is half the squared distance per example.
        expected = expected * y.shape[1] / 2
    many = [(x.repeat(300, 1), y.repeat(300, *[1] * (y.ndim - 1)))]
    found = diagonal_fisher(setup.model, setup.params, many, chunk=512).diagonal
    drawn = torch.cat([tensor.reshape(-1) for tensor in found.values()])
    assert float((drawn - expected).abs().sum() / expected.sum()) < 0.08
