from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.arithmetic import LANES, quantised, random_key, random_lanes, random_mask, random_masks

KEY = random_key(0, "layer.weight", "task")
MANY = 1 << 20


def test_lanes_depend_on_the_place_alone():
    whole = random_lanes(KEY, 0, 3 * random_masks.BLOCK + 5)
    assert whole.dtype == np.uint16
    assert len(whole) == 3 * random_masks.BLOCK + 5

    @given(st.integers(0, len(whole)), st.integers(0, len(whole)))
    def check(one: int, other: int) -> None:
        start, stop = sorted((one, other))
        assert np.array_equal(random_lanes(KEY, start, stop), whole[start:stop])

    check()


def test_lanes_are_the_same_in_every_version():
    """A seed is kept in recipes: another sequence would silently make other models."""
    assert random_lanes(random_key(7, "w", "a"), 0, 6).tolist() == [56881, 56382, 49923, 32863, 14178, 43563]
    later = random_lanes(random_key(7, "w", "a"), 1 << 17, (1 << 17) + 3)
    assert later.tolist() == [47875, 23978, 549]


def test_lanes_are_uniform_and_independent():
    """Chi-squared over 256 cells, and correlations of neighbours, of blocks and of keys, within five deviations."""
    lanes = random_lanes(KEY, 0, MANY)
    for part in (lanes >> 8, lanes & 255):
        counts = np.bincount(part, minlength=256)
        chi = float(((counts - MANY / 256) ** 2 / (MANY / 256)).sum())
        assert abs(chi - 255) < 5 * math.sqrt(2 * 255)
    centred = (lanes.astype(np.float64) - 32767.5) / (LANES / math.sqrt(12))
    others = [
        *(np.roll(centred, shift) for shift in (1, 2, 3, 4, 8, 1024, random_masks.BLOCK)),
        *((random_lanes(random_key(*key), 0, MANY) - 32767.5) / (LANES / math.sqrt(12)) for key in OTHER_KEYS),
    ]
    for other in others:
        assert abs(float(centred @ other)) / MANY < 5 / math.sqrt(MANY)


OTHER_KEYS = ((1, "layer.weight", "task"), (0, "layer.weight", "other"), (0, "layer.weigh", "ttask"))


@pytest.mark.parametrize("probability", [1e-9, 2**-16, 0.1, 0.3, 0.5, 0.9, 1 - 2**-16])
def test_the_mask_is_one_with_the_probability_in_units(probability):
    units = quantised(probability)
    mask = random_mask(KEY, units, 0, torch.full((MANY,), 7.0))
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert int(mask.sum()) == int((random_lanes(KEY, 0, MANY).view(np.int16) < units - LANES // 2).sum())
    expected = MANY * units / LANES
    assert abs(float(mask.sum()) - expected) < 5 * math.sqrt(expected * (1 - units / LANES)) + 1
    tail = random_mask(KEY, units, 1000, torch.empty(50, dtype=torch.float64))
    assert torch.equal(tail, mask[1000:1050].double())


def test_probabilities_are_rounded_to_multiples_of_2_to_the_minus_16_and_never_to_zero():
    assert [quantised(p) for p in (0.0, 1e-9, 0.5, 0.1, 1 - 1e-9, 1.0)] == [1, 1, 1 << 15, 6554, LANES, LANES]
