"""A plan: every stage of a run with its cost, and how each number is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from paretomerge.planning.costs import (
    StageCost,
    export_cost,
    finetune_cost,
    fit_cost,
    front_cost,
    in_words,
    merge_cost,
)
from paretomerge.planning.machines import Cluster
from paretomerge.planning.workload import Workload

TO_THE_FRONT = ("fit", "front", "export")
"""The stages that lead from finetunes to a model; the others are asked for one by one."""


@dataclass(frozen=True)
class Plan:
    """What a run will take on a cluster.

    Args:
        cluster: where.
        stages: verb → cost: `merge`, `fit`, `front`, `export`, `finetune` (one joint finetuning) and `verify`.
        model: parameters and bytes of one model.
        assumptions: what the numbers rest on, in sentences.
    """

    cluster: Cluster
    stages: Mapping[str, StageCost]
    model: Mapping[str, int]
    assumptions: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """Of `fit`, `front` and `export`; `None` where one is unknown."""
        found = [self.stages[stage].seconds for stage in TO_THE_FRONT]
        return None if None in found else sum(s for s in found if s is not None)

    @property
    def money(self) -> float | None:
        """Of the same."""
        found = [self.stages[stage].money for stage in TO_THE_FRONT]
        return None if None in found else sum(m for m in found if m is not None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What will not work like this."""
        return tuple(warning for cost in self.stages.values() for warning in cost.warnings)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "cluster": self.cluster.as_dict(),
            "model": dict(self.model),
            "stages": {stage: asdict(cost) for stage, cost in self.stages.items()},
            "to_the_front": {"seconds": self.seconds, "money": self.money},
            "assumptions": list(self.assumptions),
            "warnings": list(self.warnings),
        }


def plan_workload(load: Workload, cluster: Cluster) -> Plan:
    """Every stage of a workload on a cluster."""
    stages = {
        "merge": merge_cost(load, cluster),
        "fit": fit_cost(load, cluster),
        "front": front_cost(load, cluster),
        "export": export_cost(load, cluster),
        "finetune": finetune_cost(load, cluster),
        "verify": finetune_cost(load, cluster, load.verified, "verify"),
    }
    model = {"parameters": load.size.parameters, "bytes": load.size.nbytes}
    return Plan(cluster, stages, model, assumptions(load, cluster))


def assumptions(load: Workload, cluster: Cluster) -> tuple[str, ...]:
    """What the numbers rest on."""
    machine, said = cluster.machine, []
    where = "measured now" if cluster.measured else "as its description says"
    rates = ", ".join(f"{rate / 1e9:,.3g} GFLOP/s ({dtype})" for dtype, rate in sorted(machine.flops.items()))
    said.append(
        f"machine {machine.name}, {where}: {machine.devices} devices of {rates} and "
        f"{in_words(machine.bandwidth)}/s, disk {in_words(machine.read)}/s"
    )
    if load.passes is None:
        said.append("passes through the model: unknown, so that seconds of fits and trainings are too")
    elif load.passes.traced:
        said.append("passes through the model: its operations, counted on the first batches of every task")
    else:
        said.append("passes through the model: two operations per weight and token, from the sizes of its matrices")
    for name, seconds in asdict(load.measured).items():
        if seconds is not None:
            said.append(f"seconds per {name}: as this run's journal has them, {seconds:.3g}")
    if load.own_pace:
        said.append("evaluations: the recipe's own evaluator sets the pace, which is not known before it has run")
    return tuple(said)
