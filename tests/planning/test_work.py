from __future__ import annotations

import pytest
from tests.planning.machines import ROUND

from paretomerge.planning import Work


def test_products_and_everything_else_are_added() -> None:
    """One second of products, two of traffic, three of starting operations."""
    work = Work(1e12, 2e11, 3e5)
    assert work.seconds(ROUND) == pytest.approx(1 + 2 + 3)
    assert work.seconds(ROUND, "bfloat16") == pytest.approx(0.25 + 2 + 3)


def test_devices_share_all_but_the_start_of_operations() -> None:
    """Four devices."""
    assert Work(1e12, 2e11, 3e5).seconds(ROUND, devices=4) == pytest.approx(0.75 + 3)


def test_work_is_a_vector() -> None:
    """Sums and multiples."""
    assert 2 * (Work(1, 2, 3) + Work(4, 5, 6)) == Work(10, 14, 18)
    assert Work(1, 2, 3) * 0 == Work()
