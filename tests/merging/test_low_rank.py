"""Low rank plus diagonal against the dense matrices it stands for."""

from __future__ import annotations

import pytest
import torch

from paretomerge.errors import PosteriorError
from paretomerge.merging import PosteriorMerge, collect_inputs, merge, merge_blocks
from paretomerge.posteriors import Dense, LowRank
from paretomerge.types import Layout

SHAPES = {"w": (2, 3), "b": (4,), "s": ()}
SIZE = 11


def random_pair(seed: int, rank: int, floor: float = 0.05) -> tuple[LowRank, Dense]:
    """The same Gaussian in both families."""
    generator = torch.Generator().manual_seed(seed)
    layout = Layout(SHAPES)
    mean = layout.unflatten(torch.randn(SIZE, generator=generator, dtype=torch.float64))
    diagonal = torch.rand(SIZE, generator=generator, dtype=torch.float64) + floor
    factors = torch.randn(rank, SIZE, generator=generator, dtype=torch.float64)
    low = LowRank(mean, layout.unflatten(diagonal), layout.unflatten(factors))
    return low, Dense(mean, torch.diag(diagonal) + factors.T @ factors)


@pytest.mark.parametrize("ranks", [(2, 2, 2), (0, 3, 1), (12, 0, 0)])
def test_a_merge_is_the_dense_merge(ranks):
    pairs = {task: random_pair(seed, rank) for seed, (task, rank) in enumerate(zip("abc", ranks, strict=True))}
    low, dense = ({task: pair[which] for task, pair in pairs.items()} for which in (0, 1))
    weights = [[0.2, 0.3, 0.5], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]
    for found, expected in zip(merge(low, weights), merge(dense, weights), strict=True):
        for name in SHAPES:
            assert torch.allclose(found[name], expected[name], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("total", [0.3, 1.4])
def test_a_prior_counts_with_what_is_left_of_the_weights(total):
    (one, first), (two, second) = random_pair(0, 2, 1.0), random_pair(1, 3, 1.0)
    prior, dense_prior = random_pair(2, 1)
    prior = LowRank(
        prior.mean, {k: 0.1 * v for k, v in prior.diagonal.items()}, {k: 0.1 * v for k, v in prior.factors.items()}
    )
    layout = Layout(SHAPES)
    factors = torch.cat([prior.factors[name].reshape(1, -1) for name in SHAPES], 1)
    dense_prior = Dense(prior.mean, torch.diag(layout.flatten(prior.diagonal)) + factors.T @ factors)
    weights = {"a": total / 2, "b": total / 2}
    found = merge({"a": one, "b": two}, weights, prior=prior)
    expected = merge({"a": first, "b": second}, weights, prior=dense_prior)
    assert torch.allclose(layout.flatten(found), layout.flatten(expected), rtol=1e-9, atol=1e-9)


def test_density_and_energy_are_the_dense_ones():
    low, dense = random_pair(3, 2)
    theta = random_pair(4, 1)[0].mean
    assert low.log_density(theta) == pytest.approx(dense.log_density(theta), rel=1e-10)
    assert low.energy(theta) == pytest.approx(dense.energy(theta), rel=1e-10)


def test_tensors_come_one_by_one():
    terms = {task: random_pair(seed, 2)[0] for seed, task in enumerate("ab")}
    names = [name for name, _ in merge_blocks(collect_inputs(terms), [0.5, 0.5], PosteriorMerge())]
    assert names == list(SHAPES)


def test_a_diagonal_of_zero_is_refused():
    low, _ = random_pair(0, 2)
    bare = LowRank(low.mean, {name: torch.zeros_like(t) for name, t in low.diagonal.items()}, low.factors)
    other = LowRank(random_pair(1, 2)[0].mean, bare.diagonal, low.factors)
    with pytest.raises(PosteriorError, match="needs damping"):
        merge({"a": bare, "b": other}, [0.5, 0.5])


def test_where_nothing_is_known_the_average_stays():
    low, _ = random_pair(0, 1)
    diagonal = {name: t.clone() for name, t in low.diagonal.items()}
    factors = {name: t.clone() for name, t in low.factors.items()}
    diagonal["b"][1], factors["b"][:, 1] = 0, 0
    one, two = LowRank(low.mean, diagonal, factors), LowRank(random_pair(5, 1)[0].mean, diagonal, factors)
    merged = merge({"a": one, "b": two}, [0.25, 0.75])
    assert float(merged["b"][1]) == pytest.approx(float(0.25 * one.mean["b"][1] + 0.75 * two.mean["b"][1]), rel=1e-12)


def test_a_prior_that_outweighs_the_tasks_is_refused():
    (one, _), (prior, _) = random_pair(0, 1, 0.5), random_pair(1, 3)
    with pytest.raises(PosteriorError, match="at least as precise as the prior"):
        merge(
            {"a": one},
            {"a": 3.0},
            prior=LowRank(
                prior.mean,
                {k: 0.01 * v for k, v in prior.diagonal.items()},
                {k: 3 * v for k, v in prior.factors.items()},
            ),
        )
