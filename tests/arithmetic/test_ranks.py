from __future__ import annotations

import math

import numpy as np
import pytest

from paretomerge.arithmetic import keep_by_rank
from paretomerge.arithmetic.ranks import ascending_order


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (3, 1000), (40, 17)])
def test_the_order_is_that_of_a_stable_sort(shape, dtype):
    random = np.random.default_rng(0)
    for values in (
        random.random(shape),
        random.integers(0, 3, shape),
        np.zeros(shape),
        np.where(random.random(shape) < 0.2, np.nan, 1),
    ):
        magnitudes = values.astype(dtype)
        assert np.array_equal(ascending_order(magnitudes), np.argsort(magnitudes, axis=1, kind="stable"))


def test_entries_are_kept_by_their_rank():
    magnitudes = np.array([[5.0, 1.0, 3.0], [0.0, 2.0, 0.0]], dtype=np.float32)
    # the least may be kept up to lane 9, the middle one up to 99, the largest up to 65535
    units = np.array([10, 100, 65536])
    lanes = np.array([9, 100, 65535, 10, 99, 65535], dtype=np.uint16)
    assert keep_by_rank(magnitudes, units, lanes).tolist() == [[1, 1, 0], [0, 1, 1]]


def test_frequencies_are_the_probabilities_of_the_ranks():
    rows, units = 40_000, np.array([6554, 19661, 32768, 45875, 58982])
    random = np.random.default_rng(1)
    places = np.argsort(random.random((rows, 5)), axis=1)  # entry j has rank places[:, j]
    kept = keep_by_rank(places.astype(np.float32), units, random.integers(0, 65536, rows * 5, dtype=np.uint16))
    for rank, unit in enumerate(units):
        probability = unit / 65536
        found = float(kept[places == rank].mean())
        assert abs(found - probability) < 5 * math.sqrt(probability * (1 - probability) / rows)
