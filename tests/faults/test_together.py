"""Two processes on one run folder, at the same and at different stages; and clocks that jump."""

from __future__ import annotations

import time

import numpy as np
import pytest
from tests.faults.running import Fault
from tests.faults.scenarios import SCENARIOS, Scenario, Stand, require_equal
from tests.faults.state import calls_of, state_of
from tests.faults.trials import DAY, faults_of_clocks, in_company

FRESH = {name: Scenario(f"fresh {name}", SCENARIOS[name].arguments) for name in ("fit", "front", "finetune", "verify")}
PAIRS = [("fit", "fit"), *(pytest.param(*pair, marks=pytest.mark.slow) for pair in (
    ("fit", "front"), ("front", "front"), ("front", "finetune"), ("front", "verify")))]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_processes_share_a_run_and_measure_nothing_twice(stand: Stand, one: str, other: str) -> None:
    rng = np.random.default_rng(len(one) + len(other))
    for _ in range(2):
        in_company(stand, FRESH[one], FRESH[other], rng.uniform(0, 0.3))


@pytest.mark.slow
def test_one_of_two_processes_is_killed_and_the_other_goes_on(stand: Stand) -> None:
    scenario = SCENARIOS["front"]
    _, after, ended, calls = stand.undisturbed(scenario)
    rng = np.random.default_rng(0)
    for _ in range(4):
        stand.lay_out(scenario)
        first, second = (stand.server.start(list(scenario.arguments), stand.folder) for _ in range(2))
        time.sleep(rng.uniform(0, ended.seconds))
        first.kill()
        first.wait()
        survivor = second.wait()
        assert survivor.code == 0, survivor
        require_equal(state_of(stand.folder), after)
        assert sum(calls_of(stand.folder).values()) <= calls + 3


@pytest.mark.parametrize("name", ["fit", pytest.param("front", marks=pytest.mark.slow)])
def test_a_clock_that_jumps_changes_nothing(stand: Stand, name: str) -> None:
    scenario = SCENARIOS[name]
    for fault in faults_of_clocks():
        stand.lay_out(scenario)
        ended = stand.run(scenario, fault)
        assert ended.code == 0, ended
        stand.require_survival(scenario, fault, ended)


@pytest.mark.slow
@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_processes_with_clocks_a_day_apart_share_a_run(stand: Stand, jump: float) -> None:
    scenario = SCENARIOS["front"]
    _, after, _, calls = stand.undisturbed(scenario)
    stand.lay_out(scenario)
    clocks = ((), ((0, jump),))
    running = [stand.server.start(list(scenario.arguments), stand.folder, Fault("clock", clock=c)) for c in clocks]
    for each in running:
        ended = each.wait()
        assert ended.code == 0, ended
    require_equal(state_of(stand.folder), after)
    assert sum(calls_of(stand.folder).values()) == calls
