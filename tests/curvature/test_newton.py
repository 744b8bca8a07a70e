from __future__ import annotations

import pytest
import torch

from paretomerge.curvature import FitDense, fit_curvatures
from paretomerge.curvature.newton import newton_correct
from paretomerge.errors import PosteriorError, WeightsError
from paretomerge.merging import merge
from paretomerge.posteriors import Dense, Diagonal, Isotropic, damp, relative_strength
from paretomerge.testing.problems import LinearRegressionTasks

WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)


@pytest.fixture
def regressions():
    return LinearRegressionTasks.random(3, 4, 12, torch.Generator().manual_seed(0))


def dense_posteriors(tasks, added: float = 0.0):
    identity = added * torch.eye(4, dtype=torch.float64)
    return {
        task: Dense(tasks.as_params(tasks.finetune(number)), hessian + identity)
        for number, (task, hessian) in enumerate(zip(tasks.tasks, tasks.hessians, strict=True))
    }


def test_on_a_quadratic_one_step_from_anywhere_lands_at_the_weighted_minimum(regressions):
    start = regressions.as_params(torch.full((4,), 7.0, dtype=torch.float64))
    found = newton_correct(regressions.problem(), start, dense_posteriors(regressions), WEIGHTS.tolist())
    assert torch.allclose(found.params["linear.weight"][0], regressions.minimiser(WEIGHTS), rtol=1e-9)
    assert found.length == 1.0
    losses = torch.stack([regressions.loss(t, regressions.minimiser(WEIGHTS)) for t in range(3)])
    assert found.after == pytest.approx(float(WEIGHTS @ losses), rel=1e-10)
    assert found.ledger.gradient_passes == 3 * 12
    assert found.ledger.evaluations == 1


def test_it_corrects_the_merge_of_a_poorer_family(regressions):
    problem = regressions.problem()
    diagonal = {
        task: Diagonal(posterior.mean, {"linear.weight": posterior.precision.diagonal()[None]})
        for task, posterior in dense_posteriors(regressions).items()
    }
    merged = merge(diagonal, WEIGHTS.tolist())
    found = newton_correct(problem, merged, diagonal, WEIGHTS.tolist())
    assert found.after < found.before


def test_with_a_prior_its_pull_counts(regressions):
    prior = Dense(regressions.as_params(torch.ones(4, dtype=torch.float64)), 0.5 * torch.eye(4, dtype=torch.float64))
    posteriors = dense_posteriors(regressions)
    alpha = 0.6 * WEIGHTS
    start = regressions.as_params(torch.zeros(4, dtype=torch.float64))
    found = newton_correct(regressions.problem(), start, posteriors, alpha.tolist(), prior=prior)
    total = sum(a * h for a, h in zip(alpha, regressions.hessians, strict=True)) + 0.4 * prior.precision
    right = sum(
        a * h @ regressions.finetune(t) for t, (a, h) in enumerate(zip(alpha, regressions.hessians, strict=True))
    ) + 0.4 * prior.precision @ torch.ones(4, dtype=torch.float64)
    assert torch.allclose(found.params["linear.weight"][0], torch.linalg.solve(total, right), rtol=1e-9)


def test_a_step_that_is_too_long_is_halved(regressions):
    """A precision that is five times too small makes the step five times too long; a quarter of it goes down."""
    start = regressions.as_params(torch.full((4,), 7.0, dtype=torch.float64))
    small = {task: Dense(p.mean, p.precision / 5) for task, p in dense_posteriors(regressions).items()}
    found = newton_correct(regressions.problem(), start, small, WEIGHTS.tolist())
    assert found.length == 0.25
    assert found.after < found.before
    assert found.ledger.evaluations == 3


def test_where_no_step_helps_the_point_is_left(regressions):
    start = regressions.as_params(torch.full((4,), 7.0, dtype=torch.float64))
    tiny = {task: Isotropic(p.mean, 1e-12) for task, p in dense_posteriors(regressions).items()}
    found = newton_correct(regressions.problem(), start, tiny, WEIGHTS.tolist())
    assert found.length == 0.0
    assert found.after == found.before
    assert torch.equal(found.params["linear.weight"], start["linear.weight"])


def test_it_follows_a_fit(regressions):
    problem = regressions.problem()
    base = regressions.as_params(torch.zeros(4, dtype=torch.float64))
    finetunes = {task: regressions.as_params(regressions.finetune(n)) for n, task in enumerate(regressions.tasks)}
    bare = fit_curvatures(problem, base, finetunes, FitDense()).bare
    posteriors = damp(bare, 0.3)
    merged = merge(posteriors, WEIGHTS.tolist())
    found = newton_correct(problem, merged, posteriors, WEIGHTS.tolist())
    best = regressions.minimiser(WEIGHTS)
    before, after = (p["linear.weight"][0] - best for p in (merged, found.params))
    # θ - S^-1 A(θ - θ*) with S = A + λI leaves λ S^-1 of the error
    strength = relative_strength(bare, 0.3)
    total = sum(a * p.precision for a, p in zip(WEIGHTS, posteriors.values(), strict=True))
    assert torch.allclose(after, strength * torch.linalg.solve(total, before), rtol=1e-8)


def test_bad_weights_and_singular_precisions_are_refused(regressions):
    posteriors = dense_posteriors(regressions)
    start = regressions.as_params(torch.zeros(4, dtype=torch.float64))
    with pytest.raises(WeightsError):
        newton_correct(regressions.problem(), start, posteriors, [0.5, 0.5, 0.5])
    singular = {task: Dense(p.mean, torch.zeros(4, 4).double()) for task, p in posteriors.items()}
    with pytest.raises(PosteriorError, match="not positive definite"):
        newton_correct(regressions.problem(), start, singular, WEIGHTS.tolist())


def test_posteriors_of_another_model_are_refused(regressions):
    start = regressions.as_params(torch.zeros(4, dtype=torch.float64))
    other = {task: Diagonal({"w": torch.zeros(2)}, {"w": torch.ones(2)}) for task in regressions.tasks}
    with pytest.raises(PosteriorError, match="covers 'w', which is no trained parameter of the problem's model"):
        newton_correct(regressions.problem(), start, other, WEIGHTS.tolist())
