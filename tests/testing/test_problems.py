from __future__ import annotations

import pytest
import torch

from paretomerge.errors import DataError, WeightsError
from paretomerge.testing import LinearRegressionTasks, random_params


@pytest.fixture
def regression(generator):
    return LinearRegressionTasks.random(3, 6, 20, generator)


def test_the_gradient_of_the_weighted_loss_vanishes_at_the_minimiser(regression):
    weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    theta = regression.minimiser(weights).requires_grad_()
    total = sum(weight * regression.loss(t, theta) for t, weight in enumerate(weights))
    (gradient,) = torch.autograd.grad(total, theta)
    assert float(gradient.abs().max()) < 1e-12


def test_losses_are_quadratic_with_the_stated_hessians(regression):
    theta = torch.ones(6, dtype=torch.float64)
    for t, hessian in enumerate(regression.hessians):
        optimum = regression.finetune(t)
        offset = theta - optimum
        expected = regression.loss(t, optimum) + 0.5 * offset @ hessian @ offset
        assert float(regression.loss(t, theta)) == pytest.approx(float(expected))
    assert regression.loss(0, torch.stack([theta, 2 * theta])).shape == (2,)


def test_the_problem_has_the_same_losses(regression):
    problem = regression.problem(batch_size=7)
    theta = torch.ones(6, dtype=torch.float64)
    module = problem.build()
    module.load_state_dict(regression.as_params(theta))
    for t, task in enumerate(problem.tasks):
        batches = problem.batches(task, "training")
        assert [len(y) for _, y in batches] == [7, 7, 6]
        losses = torch.cat([0.5 * (module(x) - y).square()[:, 0] for x, y in batches])
        assert float(losses.mean().detach()) == pytest.approx(float(regression.loss(t, theta)))
    with pytest.raises(WeightsError, match="unknown task 'task9'"):
        problem.batches("task9", "test")


def test_layout_and_parameters_agree(regression):
    theta = torch.arange(6.0, dtype=torch.float64)
    assert torch.equal(regression.layout().flatten(regression.as_params(theta)), theta)


def test_hessians_differ_between_tasks_and_from_the_identity(regression):
    one, two, _ = regression.hessians
    assert float((one - two).norm() / one.norm()) > 0.1


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_regression_of_nothing_is_refused(sizes, generator):
    with pytest.raises(DataError, match="at least one task, parameter and example"):
        LinearRegressionTasks.random(*sizes, generator)


def test_random_parameters_have_the_shapes_and_the_dtype(generator):
    params = random_params({"w": (2, 3), "s": ()}, generator, torch.bfloat16)
    assert params["w"].shape == (2, 3)
    assert params["s"].shape == ()
    assert params["s"].dtype == torch.bfloat16
