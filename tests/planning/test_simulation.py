"""Many workers, simulated: exact where durations are fixed, queueing theory where they are not, and a naive twin."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.errors import InputError
from paretomerge.planning import Durations, Load, compare_orders, simulate

FIXED = Durations(10.0)
WILD = Durations(10.0, spread=1.0)


def naive(load: Load, seed: int = 0) -> tuple[float, float]:
    """Makespan and useful seconds in small steps of time: proposals, deaths and start-up are left out."""
    rng = np.random.default_rng(seed)
    seconds = [load.durations.draw(rng) for _ in range(load.evaluations)]
    free, waiting, batch_end = [load.start_up] * load.workers, list(seconds), 0.0
    if load.order == "asynchronous":
        for duration in waiting:
            worker = int(np.argmin(free))
            free[worker] += duration
        return max(free), sum(seconds)
    size = load.batch or load.workers
    cuts = [load.first or size]
    while cuts[-1] < len(waiting):
        cuts.append(cuts[-1] + size)
    start = 0
    for cut in cuts:
        free = [max(each, batch_end) for each in free]
        for duration in waiting[start:cut]:
            worker = int(np.argmin(free))
            free[worker] += duration
        start, batch_end = cut, max(free)
    return batch_end, sum(seconds)


@pytest.mark.parametrize("workers", [1, 3, 8])
@pytest.mark.parametrize("evaluations", [1, 8, 20])
def test_equal_durations_take_as_many_rounds_as_they_must(workers: int, evaluations: int) -> None:
    """Without waiting for the driver, both orders need ⌈N / W⌉ rounds."""
    for order in ("asynchronous", "batches"):
        found = simulate(Load(workers, evaluations, FIXED, order))
        assert found.makespan == 10.0 * math.ceil(evaluations / workers)
        assert found.useful == 10.0 * evaluations
        assert (found.lost, found.deaths, found.wasted) == (0, 0, 0)
        assert found.utilisation == pytest.approx(found.useful / (workers * found.makespan))


def test_one_worker_pays_every_proposal() -> None:
    """Nothing overlaps: N (evaluation + proposal), and a growth of 0 + 1 + … per score that is known."""
    found = simulate(Load(1, 4, FIXED, propose=2.0, growth=0.5))
    assert found.makespan == pytest.approx(4 * 12.0 + 0.5 * (0 + 1 + 2 + 3))
    assert found.driver == pytest.approx(8.0 + 3.0)
    assert found.unseen == 0


def test_a_batch_pays_one_proposal() -> None:
    """Three batches of four by four workers."""
    found = simulate(Load(4, 12, FIXED, "batches", propose=1.0))
    assert found.makespan == pytest.approx(3 * 11.0)
    assert found.unseen == 0


def test_further_points_of_a_batch_cost_a_share() -> None:
    """Batches of four: 1 + 3 · 0.5 proposals each."""
    assert simulate(Load(4, 8, FIXED, "batches", propose=1.0, further=0.5)).makespan == pytest.approx(2 * 12.5)
    assert simulate(Load(4, 8, FIXED, propose=1.0, further=0.5)).driver == pytest.approx(8.0)


def test_the_first_batch_may_have_another_size() -> None:
    """Six by two workers, then twice five: 3 + 3 + 3 rounds."""
    assert simulate(Load(2, 16, FIXED, "batches", batch=5, first=6)).makespan == 90.0


def test_a_slow_driver_is_the_bottleneck() -> None:
    """Workers that finish faster than points are proposed wait: the makespan is the driver's."""
    found = simulate(Load(1000, 500, Durations(1.0), propose=0.1))
    assert found.makespan == pytest.approx(500 * 0.1 + 1.0)
    assert found.in_flight == pytest.approx(1.0 / 0.1, rel=0.05)


@given(
    workers=st.integers(1, 12),
    evaluations=st.integers(1, 40),
    asynchronous=st.booleans(),
    batch=st.integers(1, 15),
    seed=st.integers(0, 5),
    start_up=st.sampled_from([0.0, 3.0]),
)
def test_a_naive_twin_agrees(
    workers: int, evaluations: int, asynchronous: bool, batch: int, seed: int, start_up: float
) -> None:
    """The next evaluation goes to whoever is free first."""
    order = "asynchronous" if asynchronous else "batches"
    load = Load(workers, evaluations, WILD, order, batch=batch, start_up=start_up)  # type: ignore[arg-type]
    makespan, useful = naive(load, seed)
    found = simulate(load, seed)
    assert found.makespan == pytest.approx(makespan, rel=1e-12)
    assert found.useful == pytest.approx(useful, rel=1e-12)


def test_littles_law_holds() -> None:
    """Evaluations in flight = rate × time in flight, deaths included."""
    found = simulate(Load(50, 3000, WILD, failures=0.01, restart=5.0), 1)
    attempts = found.evaluations + found.deaths
    assert found.in_flight == pytest.approx(attempts / found.makespan * found.flight, rel=1e-9)
    assert found.deaths > 100


def test_deaths_come_at_their_rate() -> None:
    """Deaths are a Poisson process in the time at work: as many as rate × time, within four deviations."""
    found = simulate(Load(20, 4000, WILD, failures=0.02), 2)
    expected = 0.02 * (found.useful + found.lost)
    assert abs(found.deaths - expected) < 4 * math.sqrt(expected)


def test_exponential_work_that_starts_over_takes_what_theory_says() -> None:
    """Attempts of fixed length d die at rate r: on average (e^{rd} - 1) deaths per evaluation."""
    found = simulate(Load(20, 5000, FIXED, failures=0.05), 3)
    assert found.deaths / found.evaluations == pytest.approx(math.expm1(0.5), rel=0.05)


def test_a_dead_worker_comes_back_after_its_restart() -> None:
    """One worker that dies now and then: the makespan is work, lost work, and a pause for every death."""
    found = simulate(Load(1, 50, FIXED, failures=0.05, restart=7.0, start_up=2.0), 4)
    assert found.deaths > 0
    assert found.makespan == pytest.approx(2.0 + found.useful + found.lost + 9.0 * found.deaths)


def test_asynchronous_is_never_slower_where_proposals_are_free() -> None:
    """The same durations, without a barrier."""
    found = compare_orders(Load(100, 1000, Durations(60.0, spread=0.5, stragglers=0.02)), range(3))
    for free, barred in zip(found["asynchronous"], found["batches"], strict=True):
        assert free.useful == pytest.approx(barred.useful)
        assert free.makespan < barred.makespan


def test_a_thousand_workers_are_simulated_quickly() -> None:
    """And what asynchrony costs is said: proposals that did not know of what was in flight."""
    found = simulate(Load(1000, 10_000, Durations(10.0, spread=0.2), failures=1e-4))
    assert found.evaluations == 10_000
    assert 900 < found.unseen < 1000
    assert found.utilisation > 0.85


def test_equal_seeds_give_equal_results_and_others_do_not() -> None:
    """Randomness follows from the seed alone."""
    load = Load(5, 50, WILD, failures=0.01)
    assert simulate(load, 1) == simulate(load, 1)
    assert simulate(load, 1) != simulate(load, 2)


def test_durations_have_their_mean() -> None:
    """Lognormal with mean 10 whatever the spread; stragglers take ten times as long."""
    rng = np.random.default_rng(0)
    plain = [Durations(10.0, spread=0.5).draw(rng) for _ in range(20_000)]
    assert np.mean(plain) == pytest.approx(10.0, abs=4 * np.std(plain) / math.sqrt(20_000))
    slow = [Durations(10.0, stragglers=0.25).draw(rng) for _ in range(4_000)]
    assert set(np.round(slow, 9)) == {10.0, 100.0}
    assert np.mean(np.array(slow) > 50) == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workers": 0}, "at least one worker"),
        ({"evaluations": 0}, "at least one worker"),
        ({"batch": 0}, "batches of at least one"),
        ({"failures": -1.0}, "at least 0"),
    ],
)
def test_impossible_loads_are_refused(changes: dict[str, float], said: str) -> None:
    """With what is wrong."""
    with pytest.raises(InputError, match=said):
        replace(Load(1, 1, FIXED), **changes)


@pytest.mark.parametrize("mean", [0.0, -1.0, math.inf, math.nan])
def test_impossible_durations_are_refused(mean: float) -> None:
    """A mean that no clock shows, a share above one."""
    with pytest.raises(InputError, match="positive mean"):
        Durations(mean)
    with pytest.raises(InputError, match="share from 0 to 1"):
        Durations(1.0, stragglers=1.5)
