from __future__ import annotations

import pytest
import torch

from paretomerge.arithmetic import weighted_sum


def tiles_of(terms: int, width: int) -> list[torch.Tensor]:
    return list(torch.randn(terms, width, generator=torch.Generator().manual_seed(terms), dtype=torch.float64))


@pytest.mark.parametrize("terms", [1, 2, 16, 17])
@pytest.mark.parametrize("count", [1, 2, 4, 5, 9])
def test_every_row_is_its_own_sum(count, terms):
    tiles, values = tiles_of(terms, 7), torch.randn(count, terms, dtype=torch.float64)
    spread = torch.full((count, 10), torch.nan, dtype=torch.float64)
    weighted_sum(values, tiles, spread[:, :7])
    expected = torch.stack([sum(w * tile for w, tile in zip(row, tiles, strict=True)) for row in values])
    torch.testing.assert_close(spread[:, :7], expected, rtol=1e-13, atol=1e-13)
    assert bool(spread[:, 7:].isnan().all())


def test_one_row_is_added_term_by_term_in_order():
    """Its rounding is then known: `((a + b) + c)`."""
    tiles = [torch.tensor([value]) for value in (1.0, 2.0**-24, 2.0**-24, -1.0)]
    out = torch.empty(1, 1)
    weighted_sum(torch.ones(1, 4), tiles, out)
    assert out.item() == 0.0


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("columns", [slice(0, 6), slice(2, 5)])
def test_rows_of_one_matrix_are_the_operand_whatever_their_stride(columns, step):
    whole = torch.arange(24.0).reshape(3, 8).clone()
    tiles = [row[columns][::step] for row in whole]
    out = torch.empty(3, len(tiles[0]))
    weighted_sum(torch.eye(3), tiles, out)
    assert torch.equal(out, whole[:, columns][:, ::step])


@pytest.mark.parametrize("order", [[0, 2, 1], [2, 1, 0], [0, 2, 3], [1, 1, 1]])
def test_rows_in_another_order_are_not_mistaken_for_the_matrix(order):
    whole = torch.arange(32.0).reshape(4, 8).clone()
    out = torch.empty(3, 8)
    weighted_sum(torch.eye(3), [whole[k] for k in order], out)
    assert torch.equal(out, whole[order])


def test_columns_of_one_matrix_are_not_mistaken_for_its_rows():
    whole = torch.arange(9.0).reshape(3, 3).clone()
    out = torch.empty(3, 3)
    weighted_sum(torch.eye(3), list(whole.T), out)
    assert torch.equal(out, whole.T)


@pytest.mark.parametrize("columns", [slice(0, 8), slice(2, 5)])
def test_rows_of_one_matrix_are_not_copied(columns, monkeypatch):
    def copy(tensors):
        raise AssertionError("copied")

    whole = torch.arange(24.0).reshape(3, 8).clone()
    monkeypatch.setattr(torch, "stack", copy)
    out = torch.empty(3, len(range(8)[columns]))
    weighted_sum(torch.eye(3), [row[columns] for row in whole], out)
    assert torch.equal(out, whole[:, columns])
