from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretomerge.fronts.search import representative, thinned, well_spread


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), rows=st.integers(1, 40), objectives=st.integers(1, 4), count=st.integers(5, 45))
def test_the_best_of_each_objective_is_kept_and_no_more_than_asked(seed, rows, objectives, count):
    values = np.random.default_rng(seed).normal(size=(rows, objectives))
    for select in (well_spread, representative, thinned):
        kept = select(values, count)
        assert len(set(kept.tolist())) == len(kept) == min(rows, count)
        assert (np.diff(kept) > 0).all()
        assert (values[kept].min(axis=0) == values.min(axis=0)).all()


def test_no_gap_is_left_that_a_point_could_fill():
    """Greedy selection covers every row within twice the best possible radius (Gonzalez, 1985)."""
    first = np.linspace(0, 1, 1001)
    values = np.stack([first, (1 - first) ** 2], axis=1)
    kept = well_spread(values, 11)
    assert {0, 1000} <= set(kept.tolist())
    arc = np.linalg.norm(np.diff(values, axis=0), axis=1).sum()
    gap = np.linalg.norm(values[:, None] - values[kept], axis=2).min(axis=1).max()
    assert gap <= arc / 10


def test_units_do_not_matter_and_an_objective_without_range_is_ignored():
    values = np.random.default_rng(1).normal(size=(300, 3))
    scaled = np.column_stack([values * [1e-6, 1.0, 1e6], np.full(300, 7.0)])
    same = np.column_stack([values, np.full(300, 3.0)])
    for select in (well_spread, representative):
        assert np.array_equal(select(scaled, 20), select(same, 20))
        assert len(select(scaled, 20)) == 20


def test_the_most_balanced_point_stays_and_ties_go_to_the_better_row():
    values = np.array([[0.0, 5.0], [0.0, 4.0], [1.0, 1.0], [1.5, 1.5], [4.0, 0.0]])
    assert well_spread(values, 3).tolist() == [1, 2, 4]


def shell(objectives: int, rows: int = 1500) -> np.ndarray:
    """A curved front, and many points that hardly any direction favours near its rim."""
    rng = np.random.default_rng(objectives)
    values = np.abs(rng.normal(size=(rows, objectives)))
    return 1 - values / np.linalg.norm(values, axis=1, keepdims=True)


def coverage(values: np.ndarray, kept: np.ndarray) -> float:
    return float(np.linalg.norm(np.maximum(values[kept] - values[:, None], 0), axis=2).min(axis=1).mean())


@pytest.mark.parametrize("objectives", [4, 6])
def test_representatives_come_nearer_to_all_points_than_an_even_spread_or_chance(objectives):
    values = shell(objectives)
    chance = np.random.default_rng(0).choice(len(values), 40, replace=False)
    ours = coverage(values, thinned(values, 40))
    assert ours < 0.9 * coverage(values, well_spread(values, 40))
    assert ours < 0.95 * coverage(values, chance)


def test_greedy_selection_of_representatives_is_what_it_says():
    values = shell(4, 60)
    kept = set(representative(values, 7).tolist())
    naive = [int(values[:, m].argmin()) for m in range(4)]
    span = np.ptp(values, axis=0)
    while len(naive) < 7:
        options = [row for row in range(60) if row not in naive]
        naive.append(min(options, key=lambda row: coverage(values / span, np.array([*naive, row]))))
    assert kept == set(naive)


def test_up_to_three_objectives_get_an_even_spread():
    for objectives, even in ((2, True), (3, True), (4, False)):
        values = shell(objectives)
        assert np.array_equal(thinned(values, 30), well_spread(values, 30)) is even
