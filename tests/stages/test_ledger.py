from __future__ import annotations

import itertools
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.tiny import TASKS, TRAINING, invoke

from paretomerge.errors import DataError
from paretomerge.runs import energy
from paretomerge.stages import Study, open_study, run_ledger, verify_run
from paretomerge.types import Ledger

PASSES = TRAINING["steps"] * TRAINING["examples_per_task"]


@pytest.fixture
def study(own: Path) -> Study:
    return open_study(own / "recipe.yaml")


def charge(study: Study, *costs: tuple[str, Ledger]) -> None:
    with study.folder.open_journal() as journal:
        for stage, cost in costs:
            journal.charge(stage, cost)


def record(study: Study, task: str, cost: Ledger) -> None:
    """What a finetune's manifest says when this package has trained it."""
    path = Path(study.recipe.tasks[task].checkpoint) / "paretomerge.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "ledger": asdict(cost)}))


def test_a_run_that_has_timed_nothing_counts_trainings_and_says_that_seconds_are_unknown(study: Study) -> None:
    found = run_ledger(study)
    assert found.stages == {}
    assert found.upfront == found.front == found.total == Ledger(3, 3 * PASSES)
    assert (found.weightings, found.joint_grid.trainings, found.joint_grid.evaluations) == (66, 66, 66)
    # Single tasks have one task's examples in a step, mixtures those of all three.
    assert found.joint_grid.gradient_passes == 3 * PASSES + 63 * 3 * PASSES
    assert (found.upfront_seconds, found.joint_grid_seconds) == ("unknown", "unknown")
    assert "unknown" in " ".join(found.assumptions)
    shown = found.rows()
    assert {name: costs["seconds"] for name, costs in shown.items()} == dict.fromkeys(shown)
    assert "of its gradient passes" in found.summary
    assert "seconds" not in found.summary


def test_a_timed_training_gives_the_seconds_of_all_others(study: Study) -> None:
    charge(
        study,
        ("fit", Ledger(gradient_passes=100, seconds=9.0)),
        ("front", Ledger(evaluations=4, seconds=2.0)),
        ("verify", Ledger(1, 3 * PASSES, 0, 6.0)),
        ("verify", Ledger(evaluations=1, seconds=0.5)),
    )
    found = run_ledger(study)
    assert (found.upfront.trainings, found.upfront.gradient_passes) == (3, 3 * PASSES)
    assert found.upfront.seconds == pytest.approx(6.0)
    assert found.front.seconds == pytest.approx(6.0 + 9.0 + 2.0)
    assert found.total.seconds == pytest.approx(6.0 + 9.0 + 2.0 + 6.5)
    assert found.total.trainings == 4
    assert found.joint_grid.seconds == pytest.approx(2.0 * (3 + 3 * 63) + 66 * 0.5)
    assert (found.upfront_seconds, found.joint_grid_seconds) == ("estimated", "estimated")
    assert "as measured in one training" in " ".join(found.assumptions)
    assert "of its seconds" in found.summary
    assert list(found.rows()) == [
        "single-task finetunes, estimated",
        *("fit", "front", "verify"),
        *("= up to the front", "= in all"),
        "joint grid of 66, estimated",
    ]


def test_without_a_timed_training_the_curvature_tells_the_time(study: Study) -> None:
    charge(study, ("fit", Ledger(gradient_passes=100, seconds=1.0)))
    found = run_ledger(study)
    assert found.upfront.seconds == pytest.approx(3 * PASSES * 0.01)
    assert "10 ms per gradient pass, as the curvature took" in " ".join(found.assumptions)
    assert "none was timed, so the grid's are without them" in " ".join(found.assumptions)


def test_a_finetune_that_says_what_it_cost_is_not_estimated(study: Study) -> None:
    for number, task in enumerate(TASKS):
        record(study, task, Ledger(1, 1000, 0, 5.0 + number, 10.0))
    found = run_ledger(study)
    assert found.upfront == Ledger(3, 3000, 0, 18.0, 30.0)
    assert found.upfront_seconds == "measured"
    assert found.joint_grid.seconds == pytest.approx(found.joint_grid.gradient_passes * 18.0 / 3000)
    assert found.joint_grid.joules == pytest.approx(found.joint_grid.seconds * 30.0 / 18.0)


def test_a_finetune_that_this_run_has_trained_is_counted_once(study: Study) -> None:
    record(study, TASKS[0], Ledger(1, 1000, 0, 5.0))
    charge(study, ("finetune", Ledger(1, 1000, 0, 5.0, 77.0)), ("finetune", Ledger(1, 1200, 0, 6.0)))
    found = run_ledger(study)
    assert found.stages == {"finetune": Ledger(1, 1200, 0, 6.0)}
    assert found.upfront.joules == 77.0
    assert found.upfront.trainings == 3
    assert found.total.trainings == 4
    assert "2 of 3 cost is not recorded" in found.assumptions[0]


def test_finetunes_of_the_runs_own_stage_are_up_front(study: Study) -> None:
    charge(study, *[("finetunes", Ledger(1, 500, 0, 2.0))] * 3, ("fit", Ledger(gradient_passes=10, seconds=1.0)))
    found = run_ledger(study)
    assert found.upfront == Ledger(3, 1500, 0, 6.0)
    assert list(found.stages) == ["fit"]
    assert found.total == Ledger(3, 1510, 0, 7.0)


@pytest.mark.parametrize("content", ["{", "[]", '{"ledger": 3}', '{"ledger": {"trainings": -1}}', '{"ledger": {}}'])
def test_a_manifest_that_says_nothing_useful_is_left_aside(study: Study, content: str) -> None:
    for task in TASKS:
        (Path(study.recipe.tasks[task].checkpoint) / "paretomerge.json").write_text(content)
    assert run_ledger(study).upfront == Ledger(3, 3 * PASSES)


def test_the_grid_has_the_resolution_that_is_asked_for(study: Study) -> None:
    assert [run_ledger(study, divisions).weightings for divisions in (1, 2, 4, 10)] == [3, 6, 15, 66]
    with pytest.raises(DataError, match="at least one division, got 0"):
        run_ledger(study, 0)


def test_the_command_line_shows_the_table_and_what_it_rests_on(study: Study) -> None:
    charge(
        study,
        ("front", Ledger(evaluations=4, seconds=2.0, joules=5000.0)),
        ("verify", Ledger(1, 3 * PASSES, 0, 6.0)),
    )
    shown = invoke("ledger", study.folder.path).out
    for text in ("= up to the front", "joint grid of 66, estimated", "5.0", "≥ 5.0", "energy", "- joint grid: every"):
        assert text in shown
    assert max(map(len, shown.split("the front took")[0].splitlines())) <= 80
    assert f"next: paretomerge report {study.folder.path}" in shown
    plain = invoke("ledger", study.folder.path, "--json").json
    assert plain["front"]["trainings"] == 3
    assert plain["joint_grid"]["trainings"] == plain["weightings"] == 66
    assert plain["stages"]["front"]["joules"] == 5000.0


def test_every_stage_charges_the_energy_that_counters_show(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(energy, "machine_counters", lambda: [energy.EnergyCounter("tick", lambda: float(next(ticks)))])
    verify_run(study, 1)
    found = run_ledger(study)
    assert {"fit", "damping", "front", "verify"} <= set(found.stages)
    for stage in ("fit", "damping", "front", "verify"):
        assert found.stages[stage].joules
        assert found.stages[stage].metered_seconds == pytest.approx(found.stages[stage].seconds, rel=0.3)
    # The single-task finetunes were trained elsewhere: their seconds are estimates, their energy is unknown.
    assert found.upfront.joules is None
    assert found.total.is_partly_metered
    assert found.joint_grid.joules is not None
    assert "energy: what the machine's counters say" in found.assumptions[-1]


def test_a_folder_that_is_no_run_is_bad_input(tmp_path: Path) -> None:
    answer = invoke("ledger", tmp_path)
    assert answer.code == 2
    assert "is not a run folder" in answer.err
