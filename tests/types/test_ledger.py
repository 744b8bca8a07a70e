from __future__ import annotations

import math
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.errors import DataError
from paretomerge.types import Ledger

SECONDS = st.floats(0, 1e6)
LEDGERS = st.builds(
    Ledger, st.integers(0, 99), st.integers(0, 10**9), st.integers(0, 999), SECONDS, st.none() | st.floats(0, 1e9)
)


def test_ledgers_add_entry_by_entry():
    one, other = Ledger(1, 20, 300, 0.5, 8.0), Ledger(2, 30, 400, 0.25, 4.0)
    assert one + other == Ledger(3, 50, 700, 0.75, 12.0)
    assert sum([one, other], Ledger()) == other + one


def test_an_unknown_energy_stays_unknown():
    total = Ledger(seconds=2.0) + Ledger(seconds=3.0)
    assert (total.joules, total.metered_seconds) == (None, 0.0)
    assert not total.is_partly_metered


def test_a_sum_of_known_and_unknown_keeps_the_known_part_and_shows_that_it_is_a_part():
    total = Ledger(seconds=2.0, joules=30.0) + Ledger(seconds=3.0)
    assert (total.joules, total.metered_seconds, total.seconds) == (30.0, 2.0, 5.0)
    assert total.is_partly_metered
    assert not Ledger(seconds=2.0, joules=30.0).is_partly_metered


def test_work_that_took_no_time_takes_nothing_from_what_is_metered():
    total = Ledger(trainings=1) + Ledger(seconds=2.0, joules=30.0)
    assert not total.is_partly_metered


@given(LEDGERS, LEDGERS)
def test_the_order_does_not_matter_and_nothing_is_neutral(one, other):
    assert one + other == other + one
    assert one + Ledger() == one


@given(LEDGERS)
def test_plain_values_give_the_ledger_back(ledger):
    assert Ledger(**asdict(ledger)) == ledger


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ({"seconds": -1.0}, "seconds must be a finite number of at least 0, got -1.0"),
        ({"trainings": -1}, "trainings must be"),
        ({"joules": math.nan, "seconds": 1.0}, "joules must be"),
        ({"metered_seconds": 2.0, "seconds": 2.0}, "2.0 metered seconds without joules"),
    ],
)
def test_impossible_costs_are_refused(costs, message):
    with pytest.raises(DataError, match=message):
        Ledger(**costs)
