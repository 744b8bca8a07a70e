from __future__ import annotations

import math

import pytest
import torch

from paretomerge.arithmetic import extremes
from paretomerge.arithmetic.tiles import SERIAL


@pytest.mark.parametrize("size", [1, SERIAL, SERIAL + 1, 3 * SERIAL + 5])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.int64])
def test_they_are_those_of_the_whole_tensor_wherever_they_are(size, dtype):
    values = torch.zeros(size, dtype=dtype)
    for low, high in ((0, size - 1), (size - 1, 0), (size // 2, size // 3)):
        values.zero_()
        values[high] = 7
        values[low] = -3
        expected = [float(values.min()), float(values.max())]
        assert extremes(values).tolist() == expected


@pytest.mark.parametrize("place", [0, SERIAL, 2 * SERIAL + 1])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_both_are_finite_only_where_all_elements_are(place, value):
    values = torch.ones(2 * SERIAL + 2)
    assert torch.isfinite(extremes(values)).all()
    values[place] = value
    assert not torch.isfinite(extremes(values)).all()
    if math.isnan(value):
        assert torch.isnan(extremes(values)).all()


def test_views_of_any_strides_and_no_elements_are_fine():
    values = torch.arange(12.0).reshape(3, 4)
    assert extremes(values.T[1:]).tolist() == [1.0, 11.0]
    assert extremes(torch.empty(0, 3)).tolist() == [0.0, 0.0]
    assert extremes(torch.tensor(5.0)).tolist() == [5.0, 5.0]
