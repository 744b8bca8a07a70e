from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from paretomerge.checkpoints import open_checkpoint, write_params
from paretomerge.curvature import (
    FitDense,
    FitDiagonal,
    FitIsotropic,
    FitSubspace,
    LossModel,
    average,
    dense_gauss_newton,
    diagonal_fisher,
    fit_curvatures,
    fit_posterior,
    newton_correct,
)
from paretomerge.errors import AlignmentError, DataError, PosteriorError, WeightsError
from paretomerge.merging import merge
from paretomerge.posteriors import Dense, Diagonal, Isotropic, Product
from paretomerge.testing import LinearRegressionTasks
from paretomerge.types import Problem, simplex_grid


@pytest.fixture(scope="module")
def regression():
    return LinearRegressionTasks.random(3, 30, 60, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def tunes(regression):
    return {task: regression.as_params(regression.finetune(t)) for t, task in enumerate(regression.tasks)}


@pytest.fixture(scope="module")
def base(regression):
    return regression.as_params(torch.zeros(30, dtype=torch.float64))


@pytest.fixture
def classifier():
    """A small network with three tasks of class labels."""
    torch.manual_seed(0)
    tasks = ("a", "b", "c")

    def build():
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()

    data = {
        task: [
            (torch.randn(8, 3).double(), torch.randint(0, 3, (8,))),
            (torch.randn(3, 3).double(), torch.zeros(3).long()),
        ]
        for task in tasks
    }
    base = {name: tensor.clone() for name, tensor in build().state_dict().items()}
    tunes = {task: {name: tensor + 0.3 * torch.randn_like(tensor) for name, tensor in base.items()} for task in tasks}
    return Problem(tasks, build, lambda task, split: data[task]), base, tunes


def test_dense_curvature_makes_the_merge_the_multitask_minimiser(regression, base, tunes):
    curvatures = fit_curvatures(regression.problem(), base, tunes, FitDense(damping=0.0))
    grid = simplex_grid(3, 5)
    for weights, merged in zip(grid, merge(curvatures.posteriors(), grid), strict=True):
        truth = regression.minimiser(torch.from_numpy(weights))
        assert float((merged["linear.weight"][0] - truth).norm() / truth.norm()) < 1e-9
        for t, task in enumerate(regression.tasks):
            assert curvatures.losses[task].at(merged) == pytest.approx(float(regression.loss(t, truth)), rel=1e-9)


def test_from_checkpoints_on_disk_to_a_merged_checkpoint_on_disk(tmp_path, regression, base, tunes):
    write_params(tmp_path / "base", base)
    for task, tune in tunes.items():
        write_params(tmp_path / task, tune)
    opened = {task: open_checkpoint(tmp_path / task) for task in tunes}
    start = open_checkpoint(tmp_path / "base")
    weights = {"task0": 0.2, "task1": 0.3, "task2": 0.5}
    truth = regression.minimiser(torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64))
    dense = fit_curvatures(regression.problem(), start, opened, FitDense(damping=0.0)).posteriors()
    write_params(tmp_path / "merged", merge(dense, weights, base=start))
    found = open_checkpoint(tmp_path / "merged")["linear.weight"][0]
    assert float((found - truth).norm() / truth.norm()) < 1e-9
    averaged = merge(opened, weights)["linear.weight"]
    expected = sum(weight * tunes[task]["linear.weight"] for task, weight in weights.items())
    assert torch.allclose(averaged, expected, rtol=1e-14)


@pytest.mark.parametrize("location", ["finetune", "average", "segment"])
@pytest.mark.parametrize("family", [FitDiagonal, FitDense])
def test_curvature_is_averaged_over_the_points_of_its_location(classifier, family, location):
    problem, base, tunes = classifier
    curvatures = fit_curvatures(problem, base, tunes, family(location=location), seed=4)
    centre = average(tunes)
    model = LossModel.of(problem.build())
    for number, task in enumerate(problem.tasks):
        points = {
            "finetune": [tunes[task]],
            "average": [centre],
            "segment": [tunes[task], average({"a": tunes[task], "b": centre}), centre],
        }[location]
        batches = problem.batches(task, "training")
        posterior = curvatures.bare[task]
        if family is FitDiagonal:
            generator = torch.Generator().manual_seed(4 + number)
            each = [diagonal_fisher(model, point, batches, generator=generator).diagonal for point in points]
            for name, precision in posterior.precision.items():
                assert torch.allclose(precision, torch.stack([e[name] for e in each]).mean(0), rtol=1e-8)
        else:
            each = [dense_gauss_newton(model, point, batches, model.trainable).curvature for point in points]
            assert torch.allclose(posterior.precision, torch.stack(each).mean(0), rtol=1e-8, atol=1e-12)
        assert torch.equal(posterior.mean["0.bias"], tunes[task]["0.bias"])


@pytest.mark.parametrize("location", ["finetune", "average", "segment"])
@pytest.mark.parametrize("family", [FitDiagonal, FitDense])
def test_the_predicted_loss_equals_the_measured_one_where_it_was_measured(classifier, family, location):
    problem, base, tunes = classifier
    curvatures = fit_curvatures(problem, base, tunes, family(location=location))
    for task in problem.tasks:
        point = average(tunes) if location == "average" else tunes[task]
        module = problem.build()
        module.load_state_dict(point)
        inputs, targets = (torch.cat(part) for part in zip(*problem.batches(task, "training"), strict=True))
        measured = nn.functional.cross_entropy(module(inputs), targets).item()
        assert curvatures.losses[task].at(point) == pytest.approx(measured, rel=1e-10)
        assert curvatures.losses[task].examples == 11


def test_dense_on_some_parameters_is_isotropic_on_the_rest(classifier):
    problem, base, tunes = classifier
    curvatures = fit_curvatures(problem, base, tunes, FitDense(parameters=r"^2\.", damping=0.0))
    posterior = curvatures.bare["a"]
    assert isinstance(posterior, Product)
    assert list(posterior.parts["dense"].mean) == ["2.weight", "2.bias"]
    assert isinstance(posterior.parts["rest"], Isotropic)
    damped = curvatures.posteriors(1e-2)
    weights = np.array([0.5, 0.25, 0.25])
    merged = merge(damped, weights, base=base)
    expected = sum(w * tunes[task]["0.weight"] for task, w in zip(problem.tasks, weights, strict=True))
    assert torch.allclose(merged["0.weight"], expected)
    with pytest.raises(PosteriorError, match=r"no parameter matches 'head'; the first is '0\.weight'"):
        fit_curvatures(problem, base, tunes, FitDense(parameters="head"))


def test_isotropic_posteriors_measure_nothing(classifier):
    problem, base, tunes = classifier
    curvatures = fit_curvatures(problem, base, tunes, FitIsotropic())
    assert not curvatures.losses
    assert curvatures.ledger.gradient_passes == 0
    merged = merge(curvatures.posteriors(), [0.2, 0.3, 0.5])
    assert torch.allclose(merged["0.bias"], merge(tunes, [0.2, 0.3, 0.5])["0.bias"])


def test_damping_again_costs_nothing_and_the_methods_own_is_the_default(classifier):
    problem, base, tunes = classifier
    curvatures = fit_curvatures(problem, base, tunes, FitDiagonal(damping=0.5))
    assert curvatures.posteriors()["a"].digest == curvatures.posteriors(0.5)["a"].digest
    assert curvatures.posteriors(0.0)["a"].digest == curvatures.bare["a"].digest
    assert curvatures.posteriors(0.1)["a"].digest != curvatures.posteriors()["a"].digest


@pytest.mark.parametrize("method", [FitDiagonal(), FitDense(), FitIsotropic()])
def test_one_finetune_by_itself_is_fitted_as_among_others_but_for_the_damping(classifier, method):
    problem, base, tunes = classifier
    method = type(method)(damping=0.0)
    alone = fit_posterior(problem.build(), tunes["a"], problem.batches("a", "training"), method)
    together = fit_curvatures(problem, base, tunes, method).posteriors()["a"]
    assert alone.digest == together.digest


def test_one_finetune_is_damped_and_may_be_fitted_elsewhere(classifier):
    problem, _, tunes = classifier
    batches = problem.batches("a", "training")
    bare, damped = (fit_posterior(problem.build(), tunes["a"], batches, FitDense(damping=d)) for d in (0.0, 0.5))
    added = 0.5 * float(bare.precision.diagonal().mean())
    assert torch.allclose(damped.precision, bare.precision + added * torch.eye(len(bare.precision)).double())
    moved = fit_posterior(problem.build(), tunes["a"], batches, FitDense(damping=0.0), at=[tunes["b"]])
    assert not torch.allclose(moved.precision, bare.precision)
    assert torch.equal(moved.mean["0.bias"], tunes["a"]["0.bias"])


def test_sampled_labels_follow_the_seed(classifier):
    problem, base, tunes = classifier
    one, same, other = (fit_curvatures(problem, base, tunes, FitDiagonal(), seed=s).bare["a"].digest for s in (1, 1, 2))
    assert one == same != other


def test_what_cannot_be_fitted_is_refused(classifier):
    problem, base, tunes = classifier
    with pytest.raises(PosteriorError, match="a subspace posterior is spanned by the task vectors of all tasks"):
        fit_posterior(problem.build(), tunes["a"], [], FitSubspace())
    with pytest.raises(DataError, match="no examples"):
        fit_posterior(problem.build(), tunes["a"], [], FitDiagonal())
    with pytest.raises(AlignmentError, match=r"lack '0\.weight'"):
        fit_curvatures(problem, {}, {"a": {}})
    with pytest.raises(WeightsError, match=r"unknown task 'aa'.*did you mean 'a'"):
        fit_curvatures(problem, base, {"aa": tunes["a"]}, FitDiagonal())


def test_families_are_what_their_methods_say(classifier):
    problem, base, tunes = classifier
    assert isinstance(fit_curvatures(problem, base, tunes, FitDiagonal()).bare["a"], Diagonal)
    assert isinstance(fit_curvatures(problem, base, tunes, FitDense()).bare["a"], Dense)


def test_a_loss_of_the_problems_own_leaves_isotropic_posteriors_only(classifier):
    problem, base, tunes = classifier
    own = replace(problem, loss_fn=lambda module, batch: module(batch[0]).square().mean())
    for method in (FitDiagonal("empirical"), FitSubspace("model"), FitDense()):
        with pytest.raises(DataError, match=r"a loss of its own \(loss_fn\).*family: isotropic.*optimizer ivon"):
            fit_curvatures(own, base, tunes, method)
    assert not fit_curvatures(own, base, tunes, FitIsotropic()).losses
    with pytest.raises(DataError, match="a loss of its own"):
        newton_correct(own, base, {"a": Isotropic(base)}, {"a": 1.0})
