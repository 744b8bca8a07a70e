"""Costs on a machine of round numbers, calculated by hand, and how they change with what they depend on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.planning.machines import CLUSTER, ROUND

from paretomerge.checkpoints.preflight.estimate import FIXED_MEMORY
from paretomerge.curvature import FitDiagonal, FitIsotropic, FitSubspace
from paretomerge.planning import Cluster, Measured, ModelSize, Passes, Search, Work, Workload, plan_workload
from paretomerge.planning.costs import (
    evaluation_seconds,
    export_cost,
    finetune_cost,
    fit_cost,
    front_cost,
    in_words,
    merge_cost,
    merged_work,
    predictions_work,
    training_memory,
    training_passes,
)
from paretomerge.training import TrainingRecipe
from paretomerge.types import TensorSpec

SIZE = ModelSize({"w": TensorSpec((1000, 1000), torch.float32), "b": TensorSpec((1000,), torch.float32)})
PASSES = Passes(Work(1e9, 1e7, 10), Work(3e9, 3e7, 30), 1e6, 4, 16, 8)
LOAD = Workload(
    SIZE,
    3,
    FitDiagonal(),
    passes=PASSES,
    examples={"fit": 100, "front": 50, "training": 100, "validation": 50, "test": 40},
    search=Search(evaluations=10, first=5, batch=5),
    training=TrainingRecipe(steps=10, examples_per_task=4),
)
OPEN = 4 * SIZE.nbytes / 1e9 + 4 * SIZE.nbytes / 2e9


def test_memory_of_a_merge_is_the_formula_of_check() -> None:
    """(inputs + K + 2) times the largest tensor in float32, and what is fixed."""
    assert merge_cost(LOAD, CLUSTER).host_memory == (4 + 1 + 2) * 4 * 1_000_000 + FIXED_MEMORY
    assert merge_cost(LOAD, CLUSTER, models=5).host_memory == (4 + 5 + 2) * 4 * 1_000_000 + FIXED_MEMORY


def test_a_merge_is_as_slow_as_the_slower_of_disk_and_processor() -> None:
    """Side by side: reading takes 16 ms, writing 8 ms; adding more disk changes nothing below what is added up."""
    found = merge_cost(LOAD, CLUSTER)
    assert found.parts["merge"] == pytest.approx(4 * SIZE.nbytes / 1e9)
    fast = merge_cost(LOAD, Cluster(replace(ROUND, read=1e15, write=1e15)))
    assert 0 < fast.parts["merge"] < found.parts["merge"]
    assert found.disk == SIZE.nbytes


def test_a_fit_opens_checks_measures_and_writes() -> None:
    """Each part by hand."""
    found = fit_cost(LOAD, CLUSTER)
    assert found.counts == {"gradient passes": 300, "evaluations": 0}
    assert found.parts["open"] == pytest.approx(OPEN)
    squares = 4 * SIZE.parameters / 1e11
    assert found.parts["curvature"] == pytest.approx(300 * (3e9 / 1e12 + 3e7 / 1e11 + 30 * 1e-5 + squares))
    assert found.disk == 2 * 3 * 4 * SIZE.parameters
    assert found.parts["write"] == pytest.approx(found.disk / 5e8)
    assert found.seconds == pytest.approx(sum(found.parts.values()))
    assert found.money == pytest.approx(found.seconds / 3600 * 3.6)


def test_an_evaluation_is_a_merge_a_copy_and_forward_passes() -> None:
    """Of all tasks' examples."""
    seconds, known = evaluation_seconds(LOAD, ROUND, "front")
    assert known == "estimated"
    passes = 3 * 50 * (1e9 / 1e12 + 1e7 / 1e11 + 10 * 1e-5)
    copies = 3 * 2 * 4 * SIZE.parameters / 1e11
    assert seconds is not None
    assert seconds > passes + copies
    assert seconds == pytest.approx(passes + copies, rel=0.05)


def test_workers_share_the_evaluations_of_a_batch() -> None:
    """Ten evaluations in two batches of five: ten rounds, four, two."""
    one = front_cost(LOAD, CLUSTER).parts["evaluations"]
    seconds, _ = evaluation_seconds(LOAD, ROUND, "front")
    assert seconds is not None
    driver = one - 10 * seconds
    for workers, rounds in ((3, 4), (5, 2), (8, 2)):
        load = replace(LOAD, search=replace(LOAD.search, workers=workers))
        found = front_cost(load, CLUSTER)
        start_up = ROUND.start_up + OPEN + found.parts["posteriors"]
        assert found.parts["evaluations"] == pytest.approx(rounds * seconds + driver + max(0, start_up - 0.14 * 1.4))
        assert found.devices == workers


def test_more_workers_than_devices_are_not_counted() -> None:
    """A cluster of eight."""
    load = replace(LOAD, search=replace(LOAD.search, workers=1000))
    assert front_cost(load, CLUSTER).devices == 8
    assert front_cost(load, CLUSTER).machines == 2


def test_predictions_of_posteriors_without_coordinates_take_a_merge_each() -> None:
    """Of three tasks 136 weightings, of two 41; a subspace predicts without any."""
    merge = merged_work(LOAD) + Work(traffic=18 * 4 * 3 * SIZE.parameters)
    assert predictions_work(LOAD).traffic == pytest.approx(136 * merge.traffic)
    two = replace(LOAD, tasks=2)
    assert predictions_work(two).operations == 41 * merged_work(two).operations
    assert predictions_work(replace(LOAD, fit=FitSubspace())) == Work()


def test_a_front_without_evaluations_is_analysis_alone() -> None:
    """The posteriors are trusted."""
    found = front_cost(replace(LOAD, search=Search(0)), CLUSTER)
    assert "evaluations" not in found.parts
    assert found.seconds is not None


def test_trainings_are_steps_batches_and_passes() -> None:
    """Ten steps of twelve examples; memory is four numbers per parameter and the batch's activations."""
    assert training_passes(LOAD) == 120
    assert training_memory(LOAD) == 16 * SIZE.parameters + 12 * 1e6
    found = finetune_cost(LOAD, CLUSTER)
    step = 12 * 3e9 / 1e12 + 12 * 3e7 / 1e11 + 30 * 8 * 1e-5 + 13 * 4 * SIZE.parameters / 1e11 + 16 * 1e-5
    assert found.parts["training"] == pytest.approx(10 * step)
    thrice = finetune_cost(LOAD, CLUSTER, 3, "verify")
    scored = [evaluation_seconds(LOAD, ROUND, split)[0] or 0 for split in ("front", "test")]
    assert found.parts["scores"] == pytest.approx(2 * sum(scored))
    assert thrice.parts["training"] == pytest.approx(30 * step)
    assert thrice.parts["scores"] == pytest.approx(6 * (evaluation_seconds(LOAD, ROUND, "test")[0] or 0))


def test_a_training_takes_the_devices_that_hold_it() -> None:
    """Seven small devices for 1.2e8 bytes: as many as there are where they do not suffice, with a warning."""
    small = Cluster(replace(ROUND, memory=1e7), 1)
    found = finetune_cost(LOAD, small)
    assert found.devices == 3
    tiny = Cluster(replace(ROUND, memory=1e6), 1)
    assert finetune_cost(LOAD, tiny).devices == 4
    assert "which has 1 MB" in finetune_cost(LOAD, tiny).warnings[0]


def test_what_is_measured_is_used_and_said() -> None:
    """Instead of the model."""
    load = replace(LOAD, measured=Measured(fit=100.0, evaluation=7.0, training=50.0))
    plan = plan_workload(load, CLUSTER)
    assert plan.stages["fit"].parts["curvature"] == 100.0
    assert plan.stages["front"].parts["evaluations"] > 70
    assert plan.stages["verify"].parts["training"] == 150.0
    assert [plan.stages[stage].known for stage in ("fit", "front", "finetune")] == ["measured"] * 3
    assert plan.stages["export"].known == "estimated"
    assert sum("as this run's journal has them" in said for said in plan.assumptions) == 3


def test_what_nobody_knows_has_no_seconds_and_no_price() -> None:
    """Passes unknown: fits, fronts and trainings; a merge is known all the same."""
    plan = plan_workload(replace(LOAD, passes=None), CLUSTER)
    assert [stage for stage, cost in plan.stages.items() if cost.seconds is None] == [
        "fit",
        "front",
        "export",
        "finetune",
        "verify",
    ]
    assert plan.seconds is None
    assert plan.money is None
    own = plan_workload(replace(LOAD, own_pace=True), CLUSTER)
    assert own.stages["front"].seconds is None
    assert own.stages["fit"].seconds is not None


def test_isotropic_posteriors_measure_nothing() -> None:
    """And are known without passes."""
    found = fit_cost(replace(LOAD, fit=FitIsotropic(), passes=None), CLUSTER)
    assert found.counts["gradient passes"] == 0
    assert found.known == "estimated"


@pytest.mark.parametrize(
    "changes",
    [
        {"tasks": 4},
        {"examples": {**LOAD.examples, "fit": 200}},
        {"fit": FitSubspace()},
        {"fit": FitDiagonal(labels="ggn")},
    ],
)
def test_more_is_more(changes: dict[str, Any]) -> None:
    """Costs grow with what they depend on."""
    before, after = fit_cost(LOAD, CLUSTER).seconds, fit_cost(replace(LOAD, **changes), CLUSTER).seconds
    assert before is not None
    assert after is not None
    assert after > before


def test_a_model_that_does_not_fit_is_said() -> None:
    """With both numbers."""
    plan = plan_workload(LOAD, Cluster(replace(ROUND, host_memory=1e8)))
    assert any("fit needs" in warning and "a machine has 100 MB" in warning for warning in plan.warnings)


def test_a_plan_is_plain_values() -> None:
    """For JSON."""
    import json

    found = plan_workload(LOAD, CLUSTER).as_dict()
    assert json.loads(json.dumps(found))["stages"]["fit"]["counts"]["gradient passes"] == 300
    assert found["to_the_front"]["seconds"] == pytest.approx(
        sum(found["stages"][stage]["seconds"] for stage in ("fit", "front", "export"))
    )


def test_sizes_are_said_in_words() -> None:
    """Decimal units, three digits."""
    assert [in_words(x) for x in (12, 2e3, 1.5e7, 3.21e9, 4e12)] == ["12 B", "2 kB", "15 MB", "3.21 GB", "4 TB"]
    assert export_cost(LOAD, CLUSTER).disk == SIZE.nbytes
