from __future__ import annotations

import math

import pytest
import torch

from paretomerge.arithmetic import Boundary

DELTA = [3.0, -2.0, 1.0, 2.0, -2.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("boundary", "expected"),
    [
        (Boundary(2.0, 4, front=True), [3.0, -2.0, 0.0, 2.0, 0.0, 0.0]),
        (Boundary(2.0, 3, front=False), [3.0, 0.0, 0.0, 2.0, -2.0, 0.0]),
        (Boundary(2.0, 0, front=True), [3.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        (Boundary(2.0, 6, front=True), [3.0, -2.0, 0.0, 2.0, -2.0, 0.0]),
        (Boundary(0.0), DELTA),
        (Boundary(math.inf), [0.0] * 6),
    ],
)
@pytest.mark.parametrize("cut", [0, 1, 3, 4, 6])
def test_equal_elements_are_kept_up_to_the_index_or_from_it_on_in_whatever_tiles(boundary, expected, cut, dtype):
    delta = torch.tensor(DELTA, dtype=dtype)
    for part in (slice(cut), slice(cut, None)):
        boundary.keep_above(delta[part], part.start or 0, delta[part])
    assert delta.tolist() == expected


def test_the_number_just_below_is_not_kept():
    value = 0.1
    for dtype in (torch.float32, torch.float64):
        exact = torch.tensor(value, dtype=dtype)
        below = torch.nextafter(exact, torch.zeros((), dtype=dtype))
        delta, out = torch.stack([exact, below, -exact]), torch.empty(3, dtype=dtype)
        Boundary(float(exact), 3).keep_above(delta, 0, out)
        assert out.tolist() == [float(exact), 0.0, -float(exact)]


def test_nan_is_above_every_boundary():
    out = torch.empty(2)
    Boundary(math.inf).keep_above(torch.tensor([math.nan, math.inf]), 0, out)
    assert out[0].isnan()
    assert out[1] == 0
