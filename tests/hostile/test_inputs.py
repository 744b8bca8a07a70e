from __future__ import annotations

from pathlib import Path

import pytest
from tests.hostile.kinds import KINDS, try_inputs

SAMPLE = 20


@pytest.mark.parametrize("name", KINDS)
def test_hostile_inputs_are_accepted_or_refused_by_one_of_our_errors(name: str, tmp_path: Path) -> None:
    found, broken = try_inputs(name, SAMPLE, tmp_path)
    assert not broken
    assert found["refused"] > 0, "a kind that nothing refuses tries nothing"


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_thousands_of_hostile_inputs_are_accepted_or_refused_by_one_of_our_errors(name: str, tmp_path: Path) -> None:
    found, broken = try_inputs(name, KINDS[name].count, tmp_path, seed=1)
    assert not broken
    assert found.total() == KINDS[name].count


def test_the_whole_search_tries_more_than_ten_thousand_inputs() -> None:
    assert sum(kind.count for kind in KINDS.values()) >= 10_000
