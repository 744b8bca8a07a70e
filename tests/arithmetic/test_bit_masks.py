from __future__ import annotations

import numpy as np
import pytest
import torch

from paretomerge.arithmetic import BitMask


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 27])
def test_any_part_of_what_was_packed_comes_back(count: int):
    bits = np.random.default_rng(count).integers(0, 2, count, dtype=np.uint8)
    mask = BitMask.of(bits.reshape(1, -1))
    assert mask.packed.nbytes == -(-count // 8)
    for start in range(count + 1):
        for stop in range(start, count + 1):
            out = torch.full((stop - start,), 7.0)
            assert mask.write(start, out) is out
            assert out.tolist() == bits[start:stop].tolist()
