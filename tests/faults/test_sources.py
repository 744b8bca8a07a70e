"""A source file that is deleted, cut off or changed while a command reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.scenarios import SCENARIOS, Stand
from tests.faults.trials import HARMS, change_source, places_of_sources

FEW = [("merge", 2)]
MANY = [("merge", 8), ("merge twice", 4), ("fit", 4), ("front", 4), ("export", 4), ("verify", 4), ("finetune", 4)]


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize(("name", "count"), [*FEW, *(pytest.param(*each, marks=pytest.mark.slow) for each in MANY)])
def test_a_source_that_changes_on_the_way_is_noticed_or_was_read(
    stand: Stand, name: str, count: int, harm: Callable[[Path], None]
) -> None:
    for at in places_of_sources(stand, SCENARIOS[name], count):
        change_source(stand, SCENARIOS[name], at, harm)
