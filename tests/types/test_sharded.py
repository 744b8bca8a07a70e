"""Of plain tensors; those of several processes are tested by `tests/training/test_sharded_training.py`."""

from __future__ import annotations

import pytest
import torch

from paretomerge.types import fill, is_sharded, own_part, part_of, shard_like, whole


def test_a_plain_tensor_is_its_only_part() -> None:
    tensor, target = torch.arange(6.0).view(2, 3), torch.zeros(2, 3, dtype=torch.bfloat16)
    assert not is_sharded(tensor)
    assert part_of(tensor, target) is tensor
    assert own_part(tensor).data_ptr() == tensor.data_ptr() == whole(tensor).data_ptr()
    fill(target, tensor)
    assert torch.equal(target, tensor.bfloat16())


def test_a_copy_is_one() -> None:
    tensor = torch.ones(2)
    copy = shard_like(tensor, tensor)
    copy.zero_()
    assert float(tensor.sum()) == 2


@pytest.fixture
def alone() -> object:
    """A group of one process."""
    from torch.distributed.device_mesh import init_device_mesh

    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def test_a_group_of_one_holds_all_parts(alone: object) -> None:
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    for placement in (Shard(0), Shard(1), Replicate()):
        target = distribute_tensor(torch.zeros(2, 3), alone, [placement])
        assert is_sharded(target)
        source = torch.arange(6.0).view(2, 3)
        fill(target, source)
        assert torch.equal(whole(target), source)
        assert torch.equal(own_part(target), source)
        made = shard_like(source, target)
        assert made.placements == target.placements
        assert torch.equal(whole(made), source)
        fill(target, 2 * made)
        assert torch.equal(whole(target), 2 * source)
