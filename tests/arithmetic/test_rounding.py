"""Rounding to float16 and bfloat16 against exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paretomerge.arithmetic import round_into
from paretomerge.arithmetic.rounding import round_to_odd

# dtype → bits of the significand, exponent of the smallest normal number, of the largest
FORMATS = {torch.float16: (11, -14, 15), torch.bfloat16: (8, -126, 127)}


def nearest(value: float, dtype: torch.dtype) -> float:
    """The number of `dtype` nearest to `value`, ties to even (IEEE 754), in rational arithmetic."""
    if math.isnan(value) or math.isinf(value) or value == 0:
        return value
    bits, lowest, highest = FORMATS[dtype]
    exact = abs(Fraction(value))
    exponent = max(math.frexp(value)[1] - 1, lowest)
    unit = Fraction(2) ** (exponent - bits + 1)
    rounded = round(exact / unit) * unit  # Python rounds fractions half to even
    if rounded >= Fraction(2) ** (highest + 1):
        return math.copysign(math.inf, value)
    return math.copysign(float(rounded), value)


def rounded(values: list[float], dtype: torch.dtype) -> list[float]:
    out = torch.empty(len(values), dtype=dtype)
    round_into(out, torch.tensor(values, dtype=torch.float64))
    return out.double().tolist()


def same(one: float, other: float) -> bool:
    """Equal, signs of zero included; or both NaN."""
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other and math.copysign(1, one) == math.copysign(1, other)


def middles(dtype: torch.dtype) -> list[float]:
    """Halfway between neighbours of every size, subnormal ones included, and just beside the middle."""
    bits, lowest, highest = FORMATS[dtype]
    found = []
    for exponent in {lowest - bits + 1, lowest - 3, lowest, -1, 0, 1, 5, highest - 1, highest}:
        unit = 2.0 ** (max(exponent, lowest) - bits + 1)
        for odd in (1, 3, 2 ** (bits - 1) + 1, 2**bits - 1):
            middle = odd * unit / 2 * (2.0 ** max(exponent - lowest, 0) if exponent > lowest else 1.0)
            found += [middle, math.nextafter(middle, math.inf), math.nextafter(middle, 0), middle * (1 + 2.0**-30)]
    return found + [-value for value in found]


@pytest.mark.parametrize("dtype", FORMATS)
def test_middles_go_to_even_and_what_is_beside_them_to_the_nearer(dtype):
    values = middles(dtype)
    assert all(same(a, nearest(v, dtype)) for v, a in zip(values, rounded(values, dtype), strict=True))


@pytest.mark.parametrize("dtype", FORMATS)
@settings(max_examples=300)
@given(value=st.floats(), near=st.floats(-(2.0**17), 2.0**17))
def test_every_number_goes_to_the_nearest(dtype, value, near):
    for each, answer in zip([value, near], rounded([value, near], dtype), strict=True):
        assert same(answer, nearest(each, dtype)), (each, answer)


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        (torch.bfloat16, 1 + 2**-8 + 2**-40, 1 + 2**-7),
        (torch.bfloat16, 1 + 3 * 2**-8 - 2**-40, 1 + 2**-7),
        (torch.bfloat16, -(1 + 2**-8 + 2**-40), -(1 + 2**-7)),
        (torch.float16, 1 + 2**-11 + 2**-40, 1 + 2**-10),
        (torch.float16, 2**-25 * (1 + 2**-40), 2**-24),
        (torch.float16, 65520 * (1 - 2**-40), 65504.0),
    ],
)
def test_by_way_of_float32_the_second_rounding_goes_wrong(dtype, value, expected):
    """What `Tensor.to` does: just beside the middle becomes the middle, which goes to even."""
    assert torch.tensor(value, dtype=torch.float64).to(dtype).item() != expected
    assert rounded([value], dtype) == [expected]
    assert nearest(value, dtype) == expected


@pytest.mark.parametrize("dtype", FORMATS)
def test_what_is_too_large_becomes_infinite_and_what_is_too_small_zero_of_its_sign(dtype):
    _, _, highest = FORMATS[dtype]
    largest = torch.finfo(dtype).max
    beyond = (largest + 2.0 ** (highest + 1)) / 2
    smallest = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    values = [largest, math.nextafter(beyond, 0), beyond, 1e300, math.inf, smallest, smallest / 2, 1e-320, 0.0]
    expected = [largest, largest, math.inf, math.inf, math.inf, smallest, 0.0, 0.0, 0.0]
    assert rounded(values, dtype) == expected
    negative = rounded([-value for value in values], dtype)
    assert all(same(answer, -value) for answer, value in zip(negative, expected, strict=True))
    assert math.isnan(rounded([math.nan], dtype)[0])
    assert rounded([smallest * (0.5 + 2**-40)], dtype) == [smallest]


def test_halfway_to_odd_every_number_keeps_whether_it_was_exact():
    values = torch.tensor([1.0, 1 + 2**-30, 1 - 2**-30, 2**-149, 2**-149 * 1.5, 1e-320, -1e-320], dtype=torch.float64)
    found = round_to_odd(values)
    assert found.dtype == torch.float32
    expected = [1.0, 1 + 2**-23, 1 - 2**-24, 2**-149, 2**-149, 2**-149, -(2**-149)]
    assert found.double().tolist() == expected


def test_other_dtypes_are_rounded_by_the_processor():
    values = torch.tensor([0.1, 1e300], dtype=torch.float64)
    out = torch.empty(2)
    round_into(out, values)
    assert torch.equal(out, values.float())
    half = torch.empty(1, dtype=torch.float16)
    round_into(half, torch.tensor([0.1]))
    assert torch.equal(half, torch.tensor([0.1]).half())
    count = torch.zeros(2, 2, dtype=torch.int64)
    round_into(count, torch.tensor([3, 4]))
    assert count.tolist() == [[3, 4], [3, 4]]


def test_the_sign_and_shape_stay_and_values_are_not_changed():
    values = torch.tensor([[-0.0, 0.0], [-1.5, 1e-9]], dtype=torch.float64)
    copy, out = values.clone(), torch.empty(2, 2, dtype=torch.bfloat16)
    round_into(out, values)
    assert out.signbit().tolist() == [[True, False], [True, False]]
    assert torch.equal(values, copy)
