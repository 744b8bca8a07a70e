from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.arithmetic import BitMask


@given(st.lists(st.booleans(), max_size=70), st.integers(0, 70), st.integers(0, 70))
def test_any_part_of_what_was_packed_comes_back(bits: list[bool], one: int, other: int):
    start, stop = sorted((min(one, len(bits)), min(other, len(bits))))
    mask = BitMask.of(np.array(bits, dtype=np.uint8).reshape(1, -1))
    out = torch.full((stop - start,), 7.0)
    assert mask.write(start, out) is out
    assert out.tolist() == [float(bit) for bit in bits[start:stop]]
    assert mask.packed.nbytes == -(-len(bits) // 8)
