from __future__ import annotations

import pytest
import torch
from torch import nn

from paretomerge.curvature import (
    FitDense,
    FitDiagonal,
    FitKronecker,
    LossModel,
    diagonal_fisher,
    families,
    fit_curvatures,
    fit_posterior,
    kronecker_curvature,
    measured_part,
)
from paretomerge.curvature.families import FAMILIES
from paretomerge.curvature.points import posterior_points
from paretomerge.errors import PosteriorError
from paretomerge.merging import merge
from paretomerge.posteriors import Dense, Diagonal, Isotropic, Kronecker, Product
from paretomerge.types import Problem


@pytest.fixture
def classifier():
    """Two tasks; a linear layer, a normalisation and another linear layer."""
    torch.manual_seed(0)

    def build():
        return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 3)).double()

    data = {task: [(torch.randn(8, 3).double(), torch.randint(0, 3, (8,)))] for task in ("a", "b")}
    base = {name: tensor.clone() for name, tensor in build().state_dict().items()}
    tunes = {task: {name: tensor + 0.3 * torch.randn_like(tensor) for name, tensor in base.items()} for task in data}
    return Problem(("a", "b"), build, lambda task, split: data[task]), base, tunes


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_every_row_is_the_class_of_its_settings():
    assert {method.family for method in FAMILIES} >= {"diagonal", "kronecker", "dense"}


@pytest.mark.parametrize("corrected", [True, False])
def test_a_kronecker_fit_has_factors_for_layers_and_a_diagonal_for_the_rest(classifier, corrected):
    problem, base, tunes = classifier
    curvatures = fit_curvatures(problem, base, tunes, FitKronecker(corrected, "ggn", "reduce", common_bases=False))
    model = LossModel.of(problem.build())
    for task in problem.tasks:
        posterior = curvatures.bare[task]
        assert isinstance(posterior, Product)
        layers, rest = posterior.parts["kronecker"], posterior.parts["rest"]
        assert isinstance(layers, Kronecker)
        assert isinstance(rest, Diagonal)
        batches = problem.batches(task, "training")
        expected = kronecker_curvature(model, [tunes[task]], batches, "ggn", "reduce", corrected)
        for layer, factors in expected.factors.items():
            assert torch.allclose(layers.factors[layer].eigenvalues, factors.eigenvalues)
        assert list(rest.precision) == ["1.weight", "1.bias"]
        assert torch.allclose(rest.precision["1.weight"], expected.rest["1.weight"])
        assert torch.equal(posterior.mean["0.bias"], tunes[task]["0.bias"])
        assert set(posterior.specs) == set(tunes[task])
    merged = merge(curvatures.posteriors(), [1.0, 0.0])
    assert torch.allclose(merged["0.weight"], tunes["a"]["0.weight"], atol=1e-9)


def test_where_every_parameter_is_a_layers_there_is_no_product():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))
    batches = [(torch.randn(5, 3), torch.randint(0, 3, (5,)))]
    assert isinstance(fit_posterior(module, module.state_dict(), batches, FitKronecker()), Kronecker)
    norm = nn.LayerNorm(3)
    assert isinstance(fit_posterior(norm, norm.state_dict(), batches, FitKronecker()), Diagonal)


@pytest.mark.parametrize("labels", ["true", "ggn", "empirical"])
def test_labels_reach_the_diagonal(classifier, labels):
    problem, base, tunes = classifier
    found = fit_curvatures(problem, base, tunes, FitDiagonal(labels), seed=3).bare["a"]
    batches = problem.batches("a", "training")
    expected = diagonal_fisher(LossModel.of(problem.build()), tunes["a"], batches, labels, generator=generator(3))
    assert all(torch.allclose(found.precision[name], tensor) for name, tensor in expected.diagonal.items())


def test_passes_count_every_backward_pass_of_an_example(classifier):
    problem, base, tunes = classifier
    for method, expected in [
        (FitDiagonal(), 16),
        (FitDiagonal("ggn"), 32),
        (FitDiagonal(location="segment", examples=5), 30),
        (FitDiagonal(location="posterior", samples=3), 64),
        (FitKronecker(), 32),
        (FitKronecker(corrected=False), 16),
        (FitKronecker(labels="ggn", location="posterior", samples=1), 128),
    ]:
        assert fit_curvatures(problem, base, tunes, method).ledger.gradient_passes == expected, method


@pytest.mark.parametrize("family", [FitDiagonal, FitKronecker])
def test_under_the_posterior_curvature_is_averaged_over_draws_of_it(classifier, family):
    problem, base, tunes = classifier
    own = {} if family is FitDiagonal else {"common_bases": False}
    method = family(labels="ggn", location="posterior", samples=3, damping=0.2, examples=6, **own)
    curvatures = fit_curvatures(problem, base, tunes, method, seed=2)
    model, batches = LossModel.of(problem.build()), problem.batches("a", "training")
    first = fit_curvatures(problem, base, tunes, family(labels="ggn", examples=6, **own)).bare["a"]
    points = posterior_points(tunes["a"], first, 0.2, 6, 3, generator(2))
    found = curvatures.bare["a"]
    if family is FitDiagonal:
        each = [diagonal_fisher(model, point, batches, "ggn", 6).diagonal for point in points]
        for name, precision in found.precision.items():
            assert torch.allclose(precision, torch.stack([e[name] for e in each]).mean(0))
        assert torch.equal(found.mean["0.bias"], tunes["a"]["0.bias"])
    else:
        expected = kronecker_curvature(model, points, batches, "ggn", limit=6)
        for layer, factors in expected.factors.items():
            assert torch.allclose(found.parts["kronecker"].factors[layer].eigenvalues, factors.eigenvalues)
    at_finetune = diagonal_fisher(model, tunes["a"], batches, "empirical", 6).loss
    assert curvatures.losses["a"].at(tunes["a"]) == pytest.approx(at_finetune, rel=1e-10)


def test_one_finetune_by_itself_may_be_fitted_under_its_posterior(classifier):
    problem, _, tunes = classifier
    batches = problem.batches("a", "training")
    one, two = (
        fit_posterior(problem.build(), tunes["a"], batches, FitDiagonal("ggn", location=where))
        for where in ("finetune", "posterior")
    )
    assert not torch.allclose(one.precision["0.weight"], two.precision["0.weight"])


def test_what_was_measured_is_all_but_the_isotropic_part():
    mean = {"w": torch.ones(2)}
    diagonal, flat = Diagonal(mean, {"w": torch.ones(2)}), Isotropic({"v": torch.ones(2)})
    dense = Dense({"u": torch.ones(2)}, torch.eye(2))
    assert measured_part(diagonal) is diagonal
    assert measured_part(Product({"dense": dense, "rest": flat})) is dense
    both = measured_part(Product({"dense": dense, "rest": flat, "more": diagonal}))
    assert list(both.parts) == ["dense", "more"]


def test_a_dense_matrix_that_no_machine_holds_is_refused(classifier, monkeypatch):
    problem, base, tunes = classifier
    monkeypatch.setattr(families, "LARGEST_DENSE", 38)
    with pytest.raises(PosteriorError, match=r"parameters='\.\*' matches 39 parameters, whose .* at most 38"):
        fit_curvatures(problem, base, tunes, FitDense())
    sizes = {name: tensor.numel() for name, tensor in base.items()}
    monkeypatch.setattr(families, "LARGEST_DENSE", sum(sizes.values()))
    assert fit_curvatures(problem, base, tunes, FitDense()).bare["a"].family == "dense"
