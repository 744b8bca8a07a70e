"""Faults at single operations: nothing stored is lost, nothing half-written is accepted, the same command continues."""

from __future__ import annotations

import pytest
from tests.faults.plans import KINDS, Kind, operations_of, places, plan
from tests.faults.running import Fault
from tests.faults.scenarios import SCENARIOS, Stand
from tests.faults.trials import power_fails_after

FEW = [("fit", 1), ("merge", 1), ("merge twice", 1), ("merge over", 1)]
OFTEN = 3
NAMES = [name for name in SCENARIOS if name != "front with workers"]
EACH = [pytest.param(name, kind, id=f"{name}, {kind.name}") for name in NAMES for kind in KINDS]


@pytest.mark.parametrize(("name", "count"), FEW)
def test_a_fault_costs_nothing_but_what_was_in_flight(stand: Stand, name: str, count: int) -> None:
    """One fault of every second kind, at an operation in the middle of the command."""
    scenario = SCENARIOS[name]
    log = stand.undisturbed(scenario)[2].log
    kinds = KINDS[::2] if name in ("fit", "merge twice") else KINDS[1::2]
    for fault in plan(log, count, seed=len(name), kinds=kinds):
        _try(stand, name, fault)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), EACH)
def test_faults_all_over_a_command_cost_nothing_but_what_was_in_flight(stand: Stand, name: str, kind: Kind) -> None:
    operations = operations_of(stand.undisturbed(SCENARIOS[name])[2].log)
    for at in places(operations, kind.hits, OFTEN, seed=len(name)):
        _try(stand, name, kind.at(at))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["merge", "merge twice", "merge over"])
def test_every_single_operation_of_a_merge_may_be_the_last(stand: Stand, name: str) -> None:
    """Before it, after it, in the middle of it, and with the power gone."""
    operations = operations_of(stand.undisturbed(SCENARIOS[name])[2].log)
    for kind in KINDS[:5]:
        for at in places(operations, kind.hits, len(operations)):
            _try(stand, name, kind.at(at))


@pytest.mark.parametrize("name", ["merge", "fit", *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[2:])])
def test_what_a_command_has_finished_survives_a_power_failure(stand: Stand, name: str) -> None:
    power_fails_after(stand, SCENARIOS[name])


def _try(stand: Stand, name: str, fault: Fault) -> None:
    scenario = SCENARIOS[name]
    stand.lay_out(scenario)
    stand.require_survival(scenario, fault, stand.run(scenario, fault))
