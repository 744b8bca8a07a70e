"""Random choices of elements that depend on a key and on the element's place alone.

The elements of a tensor are cut into blocks of `BLOCK`, and each block has a generator of its own, whose state is a
hash of the key and of where the block begins. So tiles of any width, in any order and on any thread, see the same
numbers.

Each element takes 16 bits, a lane of a 64-bit word, so probabilities are multiples of 2^-16.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

BLOCK = 1 << 17
LANES = 1 << 16


def quantised(probability: float) -> int:
    """A probability in units of 2^-16: at least one unit, so that rare elements stay possible."""
    return min(max(round(probability * LANES), 1), LANES)


def random_key(*parts: int | str) -> bytes:
    """A key from a seed and names; parts that differ in any way give independent numbers."""
    return hashlib.sha256(repr(parts).encode()).digest()


def random_lanes(key: bytes, start: int, stop: int) -> np.ndarray:
    """Independent uniform numbers from 0 to 65535 for the elements from `start` to `stop`: uint16."""
    first = start - start % BLOCK
    blocks = [_block(key, begin, min(stop - begin, BLOCK)) for begin in range(first, stop, BLOCK)]
    lanes = blocks[0] if len(blocks) == 1 else np.concatenate(blocks or [np.empty(0, np.uint16)])
    return lanes[start - first : stop - first]


def random_mask(key: bytes, units: int, start: int, out: Tensor) -> Tensor:
    """Write 1 with probability `units / 2^16`, else 0, for the elements of a tile that begins at `start`."""
    lanes = torch.from_numpy(random_lanes(key, start, start + len(out)).view(np.int16))
    if out.device.type != "cpu":
        lanes = lanes.to(out.device)
    # as signed numbers they are just as uniform, and PyTorch compares those
    return torch.lt(lanes, units - LANES // 2, out=out)


def _block(key: bytes, begin: int, count: int) -> np.ndarray:
    """The first `count` lanes of the block that begins at element `begin`, by Doty-Humphrey's SFC64 (PractRand)."""
    seed = hashlib.sha256(key + begin.to_bytes(8, "little")).digest()
    words = np.frombuffer(seed, dtype="<u8").astype(np.uint64)
    words[3] = 1  # the counter
    generator = np.random.SFC64(0)
    generator.state = {"bit_generator": "SFC64", "state": {"state": words}, "has_uint32": 0, "uinteger": 0}
    # unlike random_raw, this lets other threads run meanwhile
    raw = np.random.Generator(generator).integers(0, 2**64 - 1, -(-count // 4), dtype=np.uint64, endpoint=True)
    return raw.astype("<u8", copy=False).view("<u2")[:count]
