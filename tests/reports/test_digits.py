"""Digits follow the uncertainty."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.reports.digits import decimals_for, show, show_interval


@pytest.mark.parametrize(
    ("values", "halves", "decimals"),
    [
        ([0.31], [0.011], 3),
        ([1234.0], [56.0], 0),
        ([0.0, 0.05, 1.0], [], 2),
        ([0.3, 0.31], [], 4),
        ([5.0, 5.0], [], 2),
        ([0.0], [0.0], 0),
        ([], [], 0),
        ([float("nan"), 0.5], [float("nan"), 0.02], 3),
    ],
)
def test_decimals(values, halves, decimals):
    assert decimals_for(values, halves) == decimals


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (1234567.891, 2, "1,234,567.89"),
        (-0.0001, 2, "0.00"),
        (-1.5, 1, "-1.5"),
        (2e12, 0, "2.00e+12"),
        (3.2e-11, 12, "3.20e-11"),
        (None, 2, "-"),
        (math.nan, 2, "-"),
    ],
)
def test_show(value, decimals, text):
    assert show(value, decimals) == text


def test_an_exact_value_has_no_interval():
    assert show_interval(0.25, 0.0, 2) == "0.25"


@given(st.floats(-1e6, 1e6), st.floats(1e-5, 1e3))
def test_rounding_loses_at_most_a_twentieth_of_the_half_width(value, half):
    decimals = decimals_for([value], [half])
    assert abs(float(show(value, decimals).replace(",", "")) - value) <= max(half / 20, 0.5) + 1e-9
    if half < 10:
        assert abs(float(show(value, decimals).replace(",", "")) - value) <= half / 20 * (1 + 1e-6) + 1e-9
