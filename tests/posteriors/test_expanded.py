"""Expansions of quadratic losses are exact: damped and merged, they give the minimisers."""

from __future__ import annotations

import pytest
import torch

from paretomerge.errors import PosteriorError
from paretomerge.merging import merge
from paretomerge.posteriors import (
    Dense,
    Diagonal,
    Expanded,
    Kronecker,
    KroneckerFactors,
    LowRank,
    Posterior,
    Product,
    damp,
    precision_product,
    precision_solve,
    relative_strength,
)
from paretomerge.types import Layout, Params

SHAPES = {"w": (2, 3), "b": (4,)}
LAYOUT = Layout(SHAPES)
SIZE = 10


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def params(seed: int) -> Params:
    return LAYOUT.unflatten(draw(seed, SIZE))


def curved(family: str, mean: Params, seed: int) -> tuple[Posterior, torch.Tensor]:
    """A posterior, and its precision as a matrix over the flat parameters."""
    if family == "dense":
        root = draw(seed, SIZE, SIZE - 3)  # singular
        return Dense(mean, root @ root.T), root @ root.T
    if family == "diagonal":
        values = draw(seed, SIZE).square()
        return Diagonal(mean, LAYOUT.unflatten(values)), torch.diag(values)
    if family == "low_rank":
        values, factors = draw(seed, SIZE).square(), draw(seed + 1, 2, SIZE)
        posterior = LowRank(mean, LAYOUT.unflatten(values), LAYOUT.unflatten(factors))
        return posterior, torch.diag(values) + factors.T @ factors
    bases = [torch.linalg.qr(draw(seed + n, size, size))[0].contiguous() for n, size in enumerate((2, 3))]
    factors = KroneckerFactors("w", None, bases[1], bases[0], draw(seed, 2, 3).square())
    values = draw(seed + 5, 4).square()
    both = torch.kron(*bases)
    matrix = torch.block_diag(both @ torch.diag(factors.eigenvalues.reshape(-1)) @ both.T, torch.diag(values))
    layer = Kronecker({"w": mean["w"]}, {"layer": factors})
    return Product({"kronecker": layer, "rest": Diagonal({"b": mean["b"]}, {"b": values})}), matrix


FAMILIES = ("dense", "diagonal", "low_rank", "product")


@pytest.mark.parametrize("family", FAMILIES)
def test_products_and_solutions_are_those_of_the_matrix(family):
    posterior, matrix = curved(family, params(0), 1)
    vector = draw(9, SIZE)
    found = LAYOUT.flatten(precision_product(posterior, LAYOUT.unflatten(vector)))
    assert torch.allclose(found, matrix @ vector, rtol=1e-10, atol=1e-12)
    if family != "dense":
        back = LAYOUT.flatten(precision_solve(posterior, LAYOUT.unflatten(matrix @ vector)))
        assert torch.allclose(back, vector, rtol=1e-7, atol=1e-8)


def test_a_singular_dense_precision_is_not_solved():
    posterior, _ = curved("dense", params(0), 1)
    with pytest.raises(PosteriorError, match="not positive definite"):
        precision_solve(posterior, params(2))


@pytest.mark.parametrize("family", ["dense", "diagonal", "low_rank"])
@pytest.mark.parametrize("relative", [1e-6, 0.1, 10.0])
def test_damped_and_merged_it_minimises_the_losses_and_the_pulls(family, relative):
    """`argmin Σ α_t (½‖θ-m_t‖²_H_t + ½λ‖θ-θ_t‖²)`, whatever point the losses were expanded at."""
    centre = draw(77, SIZE)
    expanded, matrices, minima, anchors = {}, {}, {}, {}
    for number, task in enumerate("abc"):
        posterior, matrix = curved(family, LAYOUT.unflatten(centre), 10 * number)
        minimum, anchor = draw(10 * number + 3, SIZE), draw(10 * number + 4, SIZE)
        slope = LAYOUT.unflatten(matrix @ (centre - minimum))
        expanded[task] = Expanded(posterior, slope, LAYOUT.unflatten(anchor))
        matrices[task], minima[task], anchors[task] = matrix, minimum, anchor
    strength = float(relative_strength({task: found.curvature for task, found in expanded.items()}, relative))
    alpha = {"a": 0.2, "b": 0.5, "c": 0.3}
    identity = strength * torch.eye(SIZE, dtype=torch.float64)
    total = sum(alpha[t] * (matrices[t] + identity) for t in alpha)
    right = sum(alpha[t] * (matrices[t] @ minima[t] + strength * anchors[t]) for t in alpha)
    found = LAYOUT.flatten(merge(damp(expanded, relative), alpha))
    assert torch.allclose(found, torch.linalg.solve(total, right), rtol=1e-6, atol=1e-7)


def test_parts_of_a_product_have_each_its_own_damping():
    centre = params(0)
    posterior, _ = curved("product", centre, 1)
    expanded = {"a": Expanded(posterior, params(2), params(3))}
    damped = damp(expanded, 1e6)["a"]
    for name in SHAPES:
        assert torch.allclose(damped.mean[name], params(3)[name], atol=1e-4)
    assert damped.parts["rest"].precision["b"].min() != damped.parts["kronecker"].factors["layer"].eigenvalues.min()


@pytest.mark.parametrize("family", FAMILIES)
def test_energy_is_the_expanded_loss(family):
    centre = params(0)
    posterior, matrix = curved(family, centre, 1)
    slope = params(2)
    expanded = Expanded(posterior, slope, params(3))
    offset = draw(5, SIZE)
    at = LAYOUT.unflatten(LAYOUT.flatten(centre) + offset)
    expected = float(LAYOUT.flatten(slope) @ offset + offset @ matrix @ offset / 2)
    assert expanded.energy(at) - expanded.energy(centre) == pytest.approx(expected, rel=1e-9)


def test_views_and_digests_follow_every_part():
    posterior, _ = curved("diagonal", params(0), 1)
    one = Expanded(posterior, params(2), params(3))
    assert one.digest != Expanded(posterior, params(4), params(3)).digest
    assert one.digest != Expanded(posterior, params(2), params(4)).digest
    seen = []
    viewed = one.map_params(lambda held: seen.append(held) or dict(held))
    assert len(seen) == 4
    assert viewed.digest == one.digest


def test_a_gradient_that_lacks_a_parameter_is_refused():
    posterior, _ = curved("diagonal", params(0), 1)
    with pytest.raises(PosteriorError, match="the gradient lacks 'b'"):
        Expanded(posterior, {"w": params(0)["w"]}, params(3))
