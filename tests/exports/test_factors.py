"""A change of a weight as a product of low rank: exact where it is a sum of such products, else the best cut."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.exports.factors import Factors, combine, compress, factorise, truncate

sizes = st.integers(1, 9)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def parts_of(rows, columns, ranks, seed):
    seeds = range(seed, seed + len(ranks))
    return [
        Factors(normal(rows, r, seed=s), normal(r, columns, seed=50 + s)) for r, s in zip(ranks, seeds, strict=True)
    ]


def error(factors, change):
    return float(torch.linalg.norm(change - factors.product()))


@given(rows=sizes, columns=sizes, ranks=st.lists(st.integers(1, 4), min_size=1, max_size=3), seed=st.integers(0, 20))
def test_a_linear_combination_is_exact_and_of_no_more_than_the_summed_rank(rows, columns, ranks, seed):
    parts = parts_of(rows, columns, ranks, seed)
    weights = [0.3, -1.2, 0.7][: len(parts)]
    change = sum(weight * part.product() for weight, part in zip(weights, parts, strict=True))
    found = factorise(change, parts, error=0.0, rounding=1e-9 * float(torch.linalg.norm(change)))
    assert found.is_exact
    assert found.rank <= min(sum(ranks), rows, columns)
    assert error(found, change) <= 1e-9 * max(1.0, float(torch.linalg.norm(change)))


def test_coefficients_are_found_also_of_equal_and_of_zero_parts():
    part = parts_of(5, 4, [2], 0)[0]
    nothing = Factors(torch.zeros(5, 1, dtype=torch.float64), normal(1, 4))
    change = 0.25 * part.product()
    assert error(combine(change, [part, part, nothing]), change) < 1e-12
    assert compress(combine(change, [part, part, nothing])).rank == 2


@given(rows=sizes, columns=sizes, seed=st.integers(0, 20), share=st.floats(0.01, 0.99))
def test_a_cut_is_as_near_as_was_asked_and_no_rank_below_it_is(rows, columns, seed, share):
    change = normal(rows, columns, seed=seed)
    allowed = share * float(torch.linalg.norm(change))
    found = truncate(change, allowed)
    values = torch.linalg.svdvals(change)
    assert error(found, change) <= allowed * (1 + 1e-9)
    assert error(found, change) == pytest.approx(float(values[found.rank :].norm()), abs=1e-7)
    if found.rank > 1:
        assert float(values[found.rank - 1 :].norm()) > allowed


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (7, 7)])
def test_a_given_rank_is_kept_and_is_the_best_of_that_rank(shape):
    change = normal(*shape)
    for found in (truncate(change, 0.0, 2), factorise(change, None, error=0.0, rounding=0.0, rank=2)):
        assert (found.up.shape, found.down.shape) == ((shape[0], 2), (2, shape[1]))
        assert error(found, change) == pytest.approx(float(torch.linalg.svdvals(change)[2:].norm()))
        assert not found.is_exact
    assert truncate(change, 0.0, 100).rank == min(shape)


def test_a_linear_combination_cut_to_a_smaller_rank_is_no_longer_exact():
    parts = parts_of(6, 8, [2, 2], 3)
    change = parts[0].product() + 2 * parts[1].product()
    found = factorise(change, parts, error=0.0, rounding=1e-9, rank=3)
    assert (found.rank, found.is_exact) == (3, False)
    assert error(found, change) == pytest.approx(float(torch.linalg.svdvals(change)[3:].norm()))
    assert factorise(change, parts, error=0.0, rounding=1e-9, rank=9).is_exact


def test_what_no_combination_reaches_is_cut_off_instead():
    parts = parts_of(6, 8, [2, 2], 3)
    change = parts[0].product() * parts[1].product()
    found = factorise(change, parts, error=1e-6, rounding=1e-9)
    assert not found.is_exact
    assert error(found, change) < 1e-6
    assert found.rank == 4  # an elementwise product of ranks 2 and 2


def test_the_two_factors_are_of_one_size():
    change = normal(6, 8) * 1e-4
    for found in (truncate(change, 0.0, 3), compress(combine(change, [truncate(change, 0.0, 3)]))):
        assert torch.allclose(found.up.norm(dim=0), found.down.norm(dim=1))


def test_no_change_at_all_has_factors_of_zeros():
    found = compress(Factors(torch.zeros(3, 2, dtype=torch.float64), torch.zeros(2, 4, dtype=torch.float64)))
    assert found.rank == 1
    assert not found.product().any()
    assert not truncate(torch.zeros(3, 4, dtype=torch.float64), 0.0).product().any()
