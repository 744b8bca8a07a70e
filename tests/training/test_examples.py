from __future__ import annotations

import pytest
import torch

from paretomerge.errors import DataError
from paretomerge.training import ExamplePool


def _batches(sizes: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Each example's input is its own number, its target ten times that."""
    numbers = torch.arange(sum(sizes))
    return [(part[:, None], 10 * part) for part in numbers.split(sizes)]


@pytest.mark.parametrize("count", [1, 3, 7, 10])
def test_each_epoch_draws_every_example_once(count: int) -> None:
    pool = ExamplePool(_batches([4, 6]), seed=1)
    assert len(pool) == 10
    drawn = torch.cat([pool.draw(count)[1] // 10 for _ in range(30)])
    for epoch in drawn[: len(drawn) // 10 * 10].split(10):
        assert sorted(epoch.tolist()) == list(range(10))


def test_inputs_and_targets_stay_together() -> None:
    inputs, targets = ExamplePool(_batches([5]), seed=0).draw(4)
    assert inputs.shape == (4, 1)
    assert torch.equal(10 * inputs[:, 0], targets)


def test_epochs_differ_in_order_and_seeds_do_too() -> None:
    pool = ExamplePool(_batches([20]), seed=2)
    first, second = (pool.draw(20)[1].tolist() for _ in range(2))
    assert first != second
    assert ExamplePool(_batches([20]), seed=2).draw(20)[1].tolist() == first
    assert ExamplePool(_batches([20]), seed=3).draw(20)[1].tolist() != first


def test_a_draw_may_be_larger_than_the_pool() -> None:
    targets = ExamplePool(_batches([3]), seed=0).draw(8)[1] // 10
    assert torch.bincount(targets).sum() == 8
    assert torch.bincount(targets).min() >= 2


def test_mappings_are_drawn_key_by_key() -> None:
    batch = {"input_ids": torch.arange(6)[:, None], "attention_mask": torch.ones(6, 1)}
    inputs, targets = ExamplePool([(batch, torch.arange(6))], seed=0).draw(3)
    assert torch.equal(inputs["input_ids"][:, 0], targets)
    assert inputs["attention_mask"].shape == (3, 1)


@pytest.mark.parametrize("batches", [[], _batches([0]), _batches([0, 0])])
def test_no_examples_are_refused_instead_of_drawn_for_ever(batches: list) -> None:
    with pytest.raises(DataError, match="no training examples"):
        ExamplePool(batches, seed=0)


def test_inputs_of_different_shapes_are_named() -> None:
    with pytest.raises(DataError, match=r"different shapes \[\(2,\), \(3,\)\]: pad"):
        ExamplePool([(torch.zeros(1, 2), torch.zeros(1)), (torch.zeros(1, 3), torch.zeros(1))], seed=0)
