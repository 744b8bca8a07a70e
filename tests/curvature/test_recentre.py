from __future__ import annotations

import pytest
import torch
from torch import nn

from paretomerge.curvature import FitSubspace, LossModel, dense_gauss_newton, fit_curvatures, loss_gradient, recentre
from paretomerge.errors import WeightsError
from paretomerge.merging import merge_coordinates
from paretomerge.types import Layout, Problem

WEIGHTS = (0.3, 0.0, 0.7)


@pytest.fixture
def setting():
    torch.manual_seed(1)

    def build():
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()

    data = {t: [(torch.randn(n, 3).double(), torch.randint(0, 3, (n,))) for n in (9, 4)] for t in "abc"}
    problem = Problem(("a", "b", "c"), build, lambda task, split: data[task])
    base = {name: tensor.clone() for name, tensor in build().state_dict().items()}
    tunes = {t: {name: tensor + torch.randn_like(tensor) for name, tensor in base.items()} for t in "abc"}
    posteriors = fit_curvatures(
        problem, base, tunes, FitSubspace("tensor", "centred", "none", 1, damping=0.1)
    ).posteriors()
    return problem, base, posteriors, merge_coordinates(posteriors, WEIGHTS)[0]


def by_the_formula(problem, base, posteriors, coordinates, strength):
    """`c - (Σ α A + λ)^-1 Σ α b` with A and b from the explicit Gauss-Newton matrix and gradient."""
    frame = next(iter(posteriors.values()))
    layout = Layout.of(base)
    V = torch.stack(
        [
            layout.flatten({name: d.get(name, torch.zeros_like(t)) for name, t in base.items()})
            for d in frame.basis.directions
        ],
        1,
    )
    theta = layout.unflatten(layout.flatten(base) + V @ coordinates)
    model = LossModel.of(problem.build())
    total, slope = torch.diag(strength), torch.zeros_like(coordinates)
    for task, weight in zip(problem.tasks, WEIGHTS, strict=True):
        expansion = dense_gauss_newton(model, theta, problem.batches(task, "training"), list(base))
        total = total + weight * V.T @ expansion.curvature @ V
        slope = slope + weight * V.T @ expansion.gradient
    return coordinates - torch.linalg.solve(total, slope)


def test_one_step_is_the_formula(setting):
    problem, base, posteriors, coordinates = setting
    strength = torch.full_like(coordinates, 0.05)
    found, ledger = recentre(problem, base, posteriors, WEIGHTS, coordinates, strength)
    expected = by_the_formula(problem, base, posteriors, coordinates, strength)
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-11)
    # Tasks without weight cost nothing; with few outputs the Jacobian takes three backward passes per example.
    assert ledger.gradient_passes == 2 * 13 * (3 + 1)


def test_two_steps_are_one_after_the_other(setting):
    problem, base, posteriors, coordinates = setting
    strength = torch.full_like(coordinates, 0.5)
    once, _ = recentre(problem, base, posteriors, WEIGHTS, coordinates, strength)
    again, _ = recentre(problem, base, posteriors, WEIGHTS, once, strength)
    both, _ = recentre(problem, base, posteriors, WEIGHTS, coordinates, strength, steps=2)
    assert torch.allclose(both, again, rtol=1e-10)


def test_steps_reduce_the_weighted_loss(setting):
    problem, base, posteriors, coordinates = setting
    model, frame = LossModel.of(problem.build()), posteriors["a"]

    def weighted_loss(c):
        at = frame.at(c)
        return sum(
            w * loss_gradient(model, at, problem.data(t, "training")).loss for t, w in zip("abc", WEIGHTS, strict=True)
        )

    losses = [weighted_loss(coordinates)]
    for steps in (1, 5):
        moved, _ = recentre(
            problem, base, posteriors, WEIGHTS, coordinates, torch.full_like(coordinates, 0.3), steps=steps
        )
        losses.append(weighted_loss(moved))
    assert losses[2] < losses[1] < losses[0]


def test_no_step_stays_and_the_limit_applies_to_the_curvature_only(setting):
    problem, base, posteriors, coordinates = setting
    strength = torch.full_like(coordinates, 0.5)
    assert torch.equal(recentre(problem, base, posteriors, WEIGHTS, coordinates, strength, steps=0)[0], coordinates)
    _, ledger = recentre(problem, base, posteriors, WEIGHTS, coordinates, strength, examples=5)
    assert ledger.gradient_passes == 2 * (5 * 3 + 13)


def test_weights_of_another_length_are_refused(setting):
    problem, base, posteriors, coordinates = setting
    with pytest.raises(WeightsError, match="3 tasks"):
        recentre(problem, base, posteriors, (0.5, 0.5), coordinates, torch.ones_like(coordinates))
