from __future__ import annotations

import pytest
import torch

from paretomerge.curvature import FitLowRank, dense_gauss_newton, fit_curvatures, fit_posterior
from paretomerge.errors import RecipeError
from paretomerge.merging import merge
from paretomerge.posteriors import damp
from paretomerge.testing.problems import LinearRegressionTasks
from paretomerge.types import Layout


def matrix_of(posterior) -> torch.Tensor:
    parts = [posterior.read(name) for name in posterior.names()]
    diagonal, factors = torch.cat([p[1] for p in parts]), torch.cat([p[2] for p in parts], 1)
    return torch.diag(diagonal) + factors.T @ factors


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_it_has_the_diagonal_of_the_gauss_newton_matrix_and_its_leading_directions(setup_of, rank):
    setup = setup_of("mlp")
    names = setup.model.trainable
    dense = dense_gauss_newton(setup.model, setup.params, setup.batches, names).curvature
    found = fit_posterior(setup.module, setup.params, setup.batches, FitLowRank(rank, damping=0.0))
    assert found.rank == rank
    approximated = matrix_of(found)
    assert torch.allclose(approximated.diagonal(), dense.diagonal(), rtol=1e-8, atol=1e-12)
    factors = torch.cat([found.read(name)[2] for name in found.names()], 1)
    values, vectors = torch.linalg.eigh(dense)
    leading = vectors[:, -rank:] * values[-rank:]
    assert torch.allclose(factors.T @ factors, leading @ vectors[:, -rank:].T, atol=1e-6 * float(values[-1]))


def test_without_a_diagonal_there_are_only_directions(setup_of):
    setup = setup_of("mlp")
    found = fit_posterior(setup.module, setup.params, setup.batches, FitLowRank(2, "none", damping=0.0))
    assert all(float(tensor.abs().max()) == 0 for tensor in found.diagonal.values())


def test_a_sampled_diagonal_never_becomes_negative(setup_of):
    setup = setup_of("mlp")
    found = fit_posterior(setup.module, setup.params, setup.batches, FitLowRank(4, "true", damping=0.0), seed=3)
    assert min(float(tensor.min()) for tensor in found.diagonal.values()) >= 0


def test_curvature_along_a_segment_is_the_mean_of_its_points(setup_of):
    setup = setup_of("mlp")
    names = setup.model.trainable
    other = {name: tensor + 0.1 for name, tensor in setup.params.items()}
    layout = Layout({name: tuple(setup.params[name].shape) for name in names})
    found = fit_posterior(
        setup.module, setup.params, setup.batches, FitLowRank(3, damping=0.0), at=[setup.params, other]
    )
    dense = [dense_gauss_newton(setup.model, point, setup.batches, names).curvature for point in (setup.params, other)]
    assert found.rank == 6
    assert torch.allclose(matrix_of(found).diagonal(), (dense[0] + dense[1]).diagonal() / 2, rtol=1e-8, atol=1e-12)
    assert layout.size == len(dense[0])


def test_regressions_whose_curvature_it_holds_are_merged_exactly():
    """Five parameters of which four examples say something: rank four is the whole matrix."""
    tasks = LinearRegressionTasks.random(3, 5, 4, torch.Generator().manual_seed(0))
    base = tasks.as_params(torch.zeros(5, dtype=torch.float64))
    finetunes = {task: tasks.as_params(tasks.finetune(number)) for number, task in enumerate(tasks.tasks)}
    found = fit_curvatures(tasks.problem(), base, finetunes, FitLowRank(4, "none"))
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    merged = merge(damp(found.bare, 1e-9), weights.tolist())["linear.weight"][0]
    assert torch.allclose(merged, tasks.minimiser(weights), rtol=1e-5, atol=1e-6)


def test_centred_it_is_exact_as_well():
    tasks = LinearRegressionTasks.random(2, 5, 4, torch.Generator().manual_seed(0))
    base = tasks.as_params(torch.zeros(5, dtype=torch.float64))
    finetunes = {task: tasks.as_params(tasks.finetune(number) + 0.3) for number, task in enumerate(tasks.tasks)}
    found = fit_curvatures(tasks.problem(), base, finetunes, FitLowRank(4, "none", location="centred"))
    weights = torch.tensor([0.4, 0.6], dtype=torch.float64)
    merged = merge(damp(found.bare, 1e-9), weights.tolist())["linear.weight"][0]
    assert torch.allclose(merged, tasks.minimiser(weights), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "at least 1, got 0"),
        ({"diagonal": "empirical"}, "diagonal='empirical' is unknown: ggn, true or none"),
        ({"location": "posterior"}, "location='posterior' is unknown for low_rank posteriors"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(RecipeError, match=message):
        FitLowRank(**settings)
