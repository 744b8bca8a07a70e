"""The evidence against the marginal likelihood of linear regression, written out in the examples."""

from __future__ import annotations

import math

import pytest
import torch

from paretomerge.errors import PosteriorError
from paretomerge.posteriors import (
    Basis,
    Dense,
    Diagonal,
    DirectionLabel,
    Isotropic,
    Product,
    Subspace,
    choose_by_evidence,
    evidence,
    relative_strength,
)

TASKS = ("a", "b")
EXAMPLES = 7


def regression(seed=0, parameters=3):
    """Inputs `X_t`, targets `y_t`, `l_t(θ) = ½ mean (y - Xθ)²` as `(H_t, η_t)`."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    found = {}
    for task in TASKS:
        inputs = draw(EXAMPLES, parameters)
        targets = inputs @ draw(parameters) + 0.3 * draw(EXAMPLES)
        found[task] = (inputs, targets, inputs.T @ inputs / EXAMPLES, inputs.T @ targets / EXAMPLES)
    return found


def as_subspaces(found):
    labels = tuple(DirectionLabel("task_vector", task) for task in (*TASKS, "b"))
    directions = tuple({"w": row} for row in torch.eye(3, dtype=torch.float64))
    basis = Basis(directions, labels)
    origin = {"w": torch.zeros(3, dtype=torch.float64)}
    return {task: Subspace(origin, basis, H, eta) for task, (_, _, H, eta) in found.items()}


def marginal(found, ridge, centre):
    """`log N(y; X a, I + X (N Λ)^-1 Xᵀ)` over the examples of all tasks."""
    inputs = torch.cat([x for x, *_ in found.values()])
    targets = torch.cat([y for _, y, *_ in found.values()])
    count = len(targets)
    covariance = torch.eye(count, dtype=torch.float64) + inputs @ torch.diag(1 / (count * ridge)) @ inputs.T
    return float(torch.distributions.MultivariateNormal(inputs @ centre, covariance).log_prob(targets))


@pytest.mark.parametrize("pair", [(0.01, 0.1), (0.3, 5.0)])
def test_differences_are_those_of_the_marginal_likelihood_for_subspaces(pair):
    found = regression()
    bare = as_subspaces(found)
    centre = torch.tensor([0.5, 0.5, 0.5], dtype=torch.float64)
    one, other = (evidence(bare, relative, 2 * EXAMPLES) for relative in pair)
    truth = [marginal(found, relative_strength(bare, relative), centre) for relative in pair]
    assert one - other == pytest.approx(truth[0] - truth[1], rel=1e-9)


def test_differences_are_those_of_the_marginal_likelihood_for_dense_posteriors():
    found = regression()
    means = {task: torch.linalg.solve(H, eta) for task, (_, _, H, eta) in found.items()}
    bare = {task: Dense({"w": means[task]}, H) for task, (_, _, H, _) in found.items()}
    centre = sum(means.values()) / 2
    pair = (0.05, 2.0)
    one, other = (evidence(bare, relative, 2 * EXAMPLES) for relative in pair)
    truth = [marginal(found, relative_strength(bare, relative).expand(3), centre) for relative in pair]
    assert one - other == pytest.approx(truth[0] - truth[1], rel=1e-9)
    product = {task: Product({"dense": part, "rest": Isotropic({"v": torch.ones(1)})}) for task, part in bare.items()}
    assert evidence(product, 0.05, 2 * EXAMPLES) == pytest.approx(one, rel=1e-12)


def test_a_diagonal_posterior_has_the_evidence_of_its_matrix():
    generator = torch.Generator().manual_seed(2)
    diagonal, dense = {}, {}
    for task in TASKS:
        mean = torch.randn(4, generator=generator, dtype=torch.float64)
        precision = torch.rand(4, generator=generator, dtype=torch.float64)
        diagonal[task] = Diagonal({"w": mean[:3], "v": mean[3:]}, {"w": precision[:3], "v": precision[3:]})
        dense[task] = Dense({"w": mean[:3], "v": mean[3:]}, torch.diag(precision))
    assert evidence(diagonal, 0.2, 9) == pytest.approx(evidence(dense, 0.2, 9), rel=1e-10)


def test_the_choice_is_the_largest_evidence_and_does_not_depend_on_the_order():
    bare = as_subspaces(regression())
    candidates = [1e-4, 1e-2, 1.0, 100.0]
    best = max(candidates, key=lambda relative: evidence(bare, relative, 14))
    assert choose_by_evidence(bare, 14, candidates) == choose_by_evidence(bare, 14, candidates[::-1]) == best


def test_more_examples_trust_the_curvature_more():
    bare = as_subspaces(regression())
    candidates = [10.0**k for k in range(-6, 4)]
    assert choose_by_evidence(bare, 10**6, candidates) < choose_by_evidence(bare, 5, candidates)


def test_bad_input_is_refused_with_what_to_do():
    bare = as_subspaces(regression())
    with pytest.raises(PosteriorError, match="positive damping"):
        evidence(bare, 0.0, 5)
    with pytest.raises(PosteriorError, match="positive damping"):
        evidence(bare, math.nan, 5)
    with pytest.raises(PosteriorError, match="at least one example"):
        evidence(bare, 1.0, 0)
    with pytest.raises(PosteriorError, match="choose the damping on validation data"):
        evidence({"a": Isotropic({"w": torch.ones(1)})}, 1.0, 5)
    with pytest.raises(PosteriorError, match="at least one candidate"):
        choose_by_evidence(bare, 5, [])
    with pytest.raises(PosteriorError, match="at least one task"):
        evidence({}, 1.0, 5)
