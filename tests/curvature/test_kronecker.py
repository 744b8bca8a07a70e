"""K-FAC and EKFAC against curvlinops, and against loops over examples, positions and outputs."""

from __future__ import annotations

import pytest
import torch
from tests.curvature.layers.zoo import Calls, Images, Sequence, Tokens, frozen
from torch import nn

from paretomerge.curvature import LossModel, kronecker_curvature, parameters_of
from paretomerge.errors import DataError

TYPES = {"ggn": "type-2", "empirical": "empirical"}


def dense_of(factors, params):
    """The curvature of a layer as a matrix over its weight, row by row, and its bias."""
    names = factors.names
    size = sum(params[name].numel() for name in names)
    columns = []
    for unit in torch.eye(size, dtype=torch.float64):
        parts = unit.split([params[name].numel() for name in names])
        direction = {name: part.reshape(params[name].shape) for name, part in zip(names, parts, strict=True)}
        moved = dict(factors.scatter(factors.apply(factors.gather(direction)), {n: params[n] for n in names}))
        columns.append(torch.cat([moved[name].reshape(-1) for name in names]))
    return torch.stack(columns, 1)


def oracle(operator, module, layers, loss, data, **options):
    """The matrices of curvlinops, layer by layer, in the same order of parameters."""
    parameters = [p for layer in layers for p in module.get_submodule(layer).parameters() if p.requires_grad]
    found = operator(
        module, loss, parameters, data, separate_weight_and_bias=False, check_deterministic=False, **options
    )
    size = sum(parameter.numel() for parameter in parameters)
    matrix = found @ torch.eye(size, dtype=torch.float64)
    blocks, start = [], 0
    for layer in layers:
        length = sum(p.numel() for p in module.get_submodule(layer).parameters() if p.requires_grad)
        blocks.append(matrix[start : start + length, start : start + length])
        assert float(matrix[start : start + length].norm() ** 2 - blocks[-1].norm() ** 2) == pytest.approx(0, abs=1e-12)
        start += length
    return dict(zip(layers, blocks, strict=True))


def network(name):
    torch.manual_seed(5)
    if name == "perceptron":
        module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3, bias=False))
        return module.double(), torch.randn(7, 4).double()
    if name == "positions":
        return Sequence(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 4)).double(), torch.randn(7, 3, 4).double()
    assert name == "convolutions"
    module = Images(nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.Tanh(), nn.Conv2d(3, 4, (2, 1), bias=False)).double()
    # More examples than inputs: otherwise the eigenvectors of a reduced factor are not all determined.
    return module, torch.randn(24, 2, 6, 4).double()


def require_equal(found, expected, tolerance=1e-10):
    assert torch.allclose(found, expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))


@pytest.mark.parametrize("labels", ["ggn", "empirical"])
@pytest.mark.parametrize("sharing", ["expand", "reduce"])
@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("name", ["perceptron", "positions", "convolutions"])
def test_factors_equal_curvlinops(name, corrected, sharing, labels):
    curvlinops = pytest.importorskip("curvlinops", reason="the development oracle curvlinops is not installed")
    module, inputs = network(name)
    targets = torch.randint(0, 3, (len(inputs),))
    data = [(inputs[:4], targets[:4]), (inputs[4:], targets[4:])]
    params = parameters_of(module.state_dict(), module)
    found = kronecker_curvature(LossModel.of(module), [params], data, labels, sharing, corrected)
    assert not found.rest
    assert found.examples == len(inputs)
    operator = curvlinops.EKFACLinearOperator if corrected else curvlinops.KFACLinearOperator
    expected = oracle(
        operator,
        module,
        list(found.factors),
        nn.CrossEntropyLoss(),
        data,
        fisher_type=TYPES[labels],
        kfac_approx=sharing,
    )
    for layer, matrix in expected.items():
        require_equal(dense_of(found.factors[layer], params), matrix)


def test_regression_equals_curvlinops():
    curvlinops = pytest.importorskip("curvlinops", reason="the development oracle curvlinops is not installed")
    module, inputs = network("perceptron")
    data = [(inputs, torch.randn(7, 3).double())]
    params = parameters_of(module.state_dict(), module)
    found = kronecker_curvature(LossModel.of(module, "gaussian"), [params], data, "ggn")
    expected = oracle(
        curvlinops.EKFACLinearOperator, module, list(found.factors), nn.MSELoss(), data, fisher_type="type-2"
    )
    for layer, matrix in expected.items():
        # nn.MSELoss divides by outputs and has no half.
        require_equal(dense_of(found.factors[layer], params), matrix * 3 / 2)


class Logits(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, inputs):
        return self.inner(**inputs).logits


@pytest.mark.parametrize("corrected", [False, True])
def test_a_transformer_equals_curvlinops(tiny_bert, corrected):
    """Without padding, which curvlinops takes for positions like others."""
    curvlinops = pytest.importorskip("curvlinops", reason="the development oracle curvlinops is not installed")
    setup = tiny_bert("eager")
    full = [({**x, "attention_mask": torch.ones_like(x["attention_mask"])}, y) for x, y in setup.batches]
    found = kronecker_curvature(setup.model, [setup.params], full, "ggn", corrected=corrected)
    linear = [name for name, inner in setup.module.named_modules() if isinstance(inner, nn.Linear)]
    tables = [name for name, inner in setup.module.named_modules() if isinstance(inner, nn.Embedding)]
    assert sorted(found.factors) == sorted(linear + tables)
    assert all("LayerNorm" in name for name in found.rest)
    operator = curvlinops.EKFACLinearOperator if corrected else curvlinops.KFACLinearOperator
    expected = oracle(
        operator,
        Logits(setup.module),
        [f"inner.{name}" for name in linear],
        nn.CrossEntropyLoss(),
        full,
        fisher_type="type-2",
        batch_size_fn=lambda x: len(x["input_ids"]),
        num_data=5,
        num_per_example_loss_terms=1,
    )
    for name in linear:
        require_equal(dense_of(found.factors[name], setup.params), expected[f"inner.{name}"], 1e-8)


def test_transposed_weights_have_the_factors_of_the_same_linear_layers():
    """GPT-2's own `Conv1D` against a twin whose layers are `nn.Linear`."""
    transformers = pytest.importorskip("transformers", reason="the optional extra hf is not installed")
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=9, n_positions=6, n_embd=4, n_layer=1, n_head=2, num_labels=3, pad_token_id=0
    )
    module = transformers.GPT2ForSequenceClassification(config).double().eval()
    twin = transformers.GPT2ForSequenceClassification(config).double().eval()
    twin.load_state_dict(module.state_dict())
    for name, inner in list(twin.named_modules()):
        if type(inner).__name__ == "Conv1D":
            linear = nn.Linear(*inner.weight.shape, dtype=torch.float64)
            linear.weight.data, linear.bias.data = inner.weight.data.T.clone(), inner.bias.data.clone()
            owner, _, local = name.rpartition(".")
            setattr(twin.get_submodule(owner), local, linear)
    inputs = {"input_ids": torch.randint(1, 9, (4, 5)), "attention_mask": torch.ones(4, 5, dtype=torch.long)}
    data = [(inputs, torch.randint(0, 3, (4,)))]
    one, other = (
        kronecker_curvature(LossModel.of(m), [parameters_of(m.state_dict(), m)], data, "ggn") for m in (module, twin)
    )
    name = "transformer.h.0.attn.c_attn"
    assert name in one.factors
    assert list(one.factors) == list(other.factors)
    for layer, factors in one.factors.items():
        assert torch.allclose(factors.eigenvalues, other.factors[layer].eigenvalues, atol=1e-12), layer
    assert one.factors[name].transposed
    assert not other.factors[name].transposed
    params, twins = module.state_dict(), twin.state_dict()
    image = one.factors[name].apply(one.factors[name].gather(params))
    assert torch.allclose(image, other.factors[name].apply(other.factors[name].gather(twins)), atol=1e-12)


def test_embeddings_have_the_factors_of_one_hot_inputs():
    """A linear layer on one-hot inputs is the twin; its input factor is diagonal with `expand`."""

    class OneHot(nn.Module):
        def __init__(self, tokens):
            super().__init__()
            self.words, self.places = nn.Linear(7, 4, bias=False), nn.Embedding(6, 4)
            self.head = nn.Linear(4, 3)
            self.words.weight.data = tokens.words.weight.data.T.clone()
            self.places.weight.data, self.head.weight.data = tokens.places.weight.data, tokens.head.weight.data
            self.head.bias.data = tokens.head.bias.data

        def forward(self, tokens):
            hot = nn.functional.one_hot(tokens, 7).double()
            return self.head(torch.tanh(self.words(hot) + self.places(torch.arange(tokens.shape[1])[None])).sum(1))

    torch.manual_seed(2)
    module = Tokens().double()
    twin = OneHot(module).double()
    data = [(torch.randint(0, 7, (6, 4)), torch.randint(0, 3, (6,)))]
    for corrected in (False, True):
        one, other = (
            kronecker_curvature(LossModel.of(m), [parameters_of(m.state_dict(), m)], data, "ggn", corrected=corrected)
            for m in (module, twin)
        )
        table, linear = one.factors["words"], other.factors["words"]
        direction = torch.randn(4, 7).double()
        assert table.inputs is None
        if corrected:
            # Rows that are looked up equally often leave the eigenvectors of the twin open; the diagonal is not.
            assert torch.allclose(table.eigenvalues.sum(), linear.eigenvalues.sum())
        else:
            assert torch.allclose(table.apply(direction), linear.apply(direction), atol=1e-12)


def gradients_of(model, params, inputs, targets, name):
    """The gradient of each example's loss, one by one."""
    found = []
    for b in range(len(targets)):
        leaf = params[name].clone().requires_grad_()
        part = {k: v[b : b + 1] for k, v in inputs.items()} if isinstance(inputs, dict) else inputs[b : b + 1]
        loss = model.likelihood.losses(model.predict({**params, name: leaf}, part), targets[b : b + 1])[0]
        found.append(torch.autograd.grad(loss, leaf)[0])
    return found


@pytest.mark.parametrize("padding", [None, 2])
def test_an_embeddings_eigenvalues_are_mean_squared_projections_of_its_gradients(padding):
    torch.manual_seed(4)
    module = Tokens(padding_idx=padding).double()
    model, params = LossModel.of(module), parameters_of(module.state_dict(), module)
    inputs, targets = torch.randint(0, 7, (6, 4)), torch.randint(0, 3, (6,))
    found = kronecker_curvature(model, [params], [(inputs, targets)], "empirical")
    factors = found.factors["words"]
    each = gradients_of(model, params, inputs, targets, "words.weight")
    expected = torch.stack([(factors.outputs.T @ gradient.T) ** 2 for gradient in each]).mean(0)
    assert torch.allclose(factors.eigenvalues, expected, atol=1e-14)
    assert padding is None or float(factors.eigenvalues[:, padding].abs().max()) == 0


@pytest.mark.parametrize("sharing", ["expand", "reduce"])
def test_an_embeddings_input_factor_counts_how_often_a_row_is_looked_up(sharing):
    torch.manual_seed(4)
    module = Tokens(padding_idx=0).double()
    model, params = LossModel.of(module), parameters_of(module.state_dict(), module)
    tokens = torch.tensor([[1, 1, 3, 0], [3, 0, 0, 0]])
    targets = torch.tensor([0, 2])
    found = kronecker_curvature(model, [params], [(tokens, targets)], "empirical", sharing, corrected=False)
    factors = found.factors["words"]
    shares = torch.tensor([[0, 2 / 3, 0, 1 / 3, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0]], dtype=torch.float64)
    expected = shares.mean(0) if sharing == "expand" else (shares**2).mean(0)
    along = factors.eigenvalues.sum(0)
    assert torch.allclose(along / along.sum(), expected / expected.sum(), atol=1e-14)


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("sharing", ["expand", "reduce"])
def test_padding_changes_nothing(tiny_bert, sharing, corrected):
    setup = tiny_bert("eager")
    batches = [
        ({"input_ids": torch.tensor([[3, 4, 5], [6, 2, 1]]), "attention_mask": torch.ones(2, 3, dtype=torch.long)}, y)
        for y in [torch.tensor([0, 2])]
    ]
    padded = [
        (
            {
                "input_ids": nn.functional.pad(x["input_ids"], (0, 2)),
                "attention_mask": nn.functional.pad(x["attention_mask"], (0, 2)),
            },
            y,
        )
        for x, y in batches
    ]
    one, other = (
        kronecker_curvature(setup.model, [setup.params], data, "ggn", sharing, corrected) for data in (batches, padded)
    )
    for layer, factors in one.factors.items():
        expected = factors.apply(factors.gather(setup.params))
        assert torch.allclose(other.factors[layer].apply(factors.gather(setup.params)), expected, atol=1e-12), layer


def test_several_calls_of_a_layer_are_further_positions():
    """Twin: factors by hand from the inputs and output gradients of both calls."""
    torch.manual_seed(6)
    module = Calls("twice").double()
    model, params = LossModel.of(module), parameters_of(module.state_dict(), module)
    inputs, targets = torch.randn(5, 3, 4).double(), torch.randint(0, 3, (5,))
    found = kronecker_curvature(model, [params], [(inputs, targets)], "empirical", corrected=False)
    first = module.inner(inputs)
    hidden = torch.tanh(first).detach().requires_grad_()
    second = module.inner(hidden)
    loss = nn.functional.cross_entropy(module.head(torch.tanh(second).mean(1)), targets, reduction="sum")
    after = torch.autograd.grad(loss, second, retain_graph=True)[0]
    back = torch.autograd.grad(loss, hidden)[0] * (1 - hidden**2)
    a = torch.cat([inputs, hidden], 1).detach()
    a = torch.cat([a, torch.ones(5, 6, 1)], -1).flatten(0, 1)
    g = torch.cat([back, after], 1).flatten(0, 1)
    expected = torch.kron(g.T @ g / 5, a.T @ a / 30)
    factors = found.factors["inner"]
    matrix = torch.stack([factors.apply(unit.reshape(4, 5)).reshape(-1) for unit in torch.eye(20).double()])
    assert torch.allclose(matrix, expected, atol=1e-14)


def test_what_is_no_matrix_gets_the_diagonal_of_the_same_labels():
    from paretomerge.curvature import diagonal_fisher

    torch.manual_seed(6)
    module = Images(nn.Conv1d(4, 4, 3, groups=2), nn.GroupNorm(2, 4)).double()
    model, params = LossModel.of(module), parameters_of(module.state_dict(), module)
    data = [(torch.randn(5, 4, 6).double(), torch.randint(0, 3, (5,)))]
    found = kronecker_curvature(model, [params], data, generator=torch.Generator().manual_seed(8))
    fisher = diagonal_fisher(model, params, data, generator=torch.Generator().manual_seed(8))
    assert list(found.factors) == ["head"]
    assert list(found.rest) == ["inner.0.weight", "inner.0.bias", "inner.1.weight", "inner.1.bias"]
    assert all(torch.allclose(found.rest[name], fisher.diagonal[name]) for name in found.rest)
    assert found.loss == pytest.approx(fisher.loss)


def test_frozen_parameters_have_no_curvature():
    module = frozen("inner.0.weight", "inner.2.bias").double()
    model, params = LossModel.of(module), parameters_of(module.state_dict(), module)
    data = [(torch.randn(5, 3, 4).double(), torch.randint(0, 3, (5,)))]
    found = kronecker_curvature(model, [params], data, "empirical")
    assert {layer: factors.names for layer, factors in found.factors.items()} == {
        "inner.2": ("inner.2.weight",),
        "head": ("head.weight", "head.bias"),
    }
    assert list(found.rest) == ["inner.0.bias", "inner.1.weight", "inner.1.bias"]


def test_the_corrected_eigenvalues_have_the_trace_of_the_gauss_newton_matrix_and_sampled_labels_are_the_same_twice():
    module, inputs = network("positions")
    params = parameters_of(module.state_dict(), module)
    model = LossModel.of(module)
    data = [(inputs, torch.zeros(7, dtype=torch.long))]
    from paretomerge.curvature import diagonal_fisher

    for labels in ("ggn", "true", "empirical"):
        found = kronecker_curvature(model, [params], data, labels, generator=torch.Generator().manual_seed(1))
        fisher = diagonal_fisher(model, params, data, labels, generator=torch.Generator().manual_seed(1)).diagonal
        for factors in found.factors.values():
            trace = sum(float(fisher[name].sum()) for name in factors.names)
            assert float(factors.eigenvalues.sum()) == pytest.approx(trace, rel=1e-10)


def test_points_are_further_examples():
    module, inputs = network("perceptron")
    params = parameters_of(module.state_dict(), module)
    moved = {name: tensor + 0.3 for name, tensor in params.items()}
    model = LossModel.of(module)
    data = [(inputs, torch.randint(0, 3, (7,)))]
    both = kronecker_curvature(model, [params, moved], data, "ggn")
    alone = [kronecker_curvature(model, [point], data, "ggn") for point in (params, moved)]
    assert both.examples == 7
    assert both.loss == pytest.approx(alone[0].loss)
    assert both.passes == 2 * sum(7 * 2 for _ in alone)
    for layer, factors in both.factors.items():
        mean = sum(float(one.factors[layer].eigenvalues.sum()) for one in alone) / 2
        assert float(factors.eigenvalues.sum()) == pytest.approx(mean, rel=1e-10)


def test_half_precision_models_get_float32_factors():
    module, inputs = network("perceptron")
    module = module.to(torch.bfloat16)
    data = [(inputs.to(torch.bfloat16), torch.randint(0, 3, (7,)))]
    found = kronecker_curvature(LossModel.of(module), [module.state_dict()], data)
    assert {factors.eigenvalues.dtype for factors in found.factors.values()} == {torch.float32}


def test_no_examples_are_refused():
    module, _ = network("perceptron")
    with pytest.raises(DataError, match="no examples to measure curvature on"):
        kronecker_curvature(LossModel.of(module), [module.state_dict()], [])
