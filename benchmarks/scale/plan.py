"""Predicted against measured: what `paretomerge plan` says of projects of several sizes, and what running them takes.

    python -m benchmarks.scale.plan --folder DIR [--only NAME ...]

Every stage runs in a process of its own, on one thread, after the machine was measured (`measure_machine`). Seconds are
the processor's, so that other work on the machine meets neither side: of files what copying them takes, not what a disk
does. Memory is the peak of what is the process's own alone, above that of a process which has imported everything. Each
project is one entry of `benchmarks/results/scale/plan.json`, stage by stage: the same command goes on with what is
missing, and measures projects anew that are named.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from benchmarks.publishing import machine, write_section
from benchmarks.scale.measuring import Cost, in_child
from benchmarks.scale.projects import Shape, make_project

from paretomerge.checkpoints import open_checkpoint
from paretomerge.checkpoints.atomic import write_text
from paretomerge.checkpoints.preflight.estimate import FIXED_MEMORY
from paretomerge.merging import Averaging
from paretomerge.planning import Cluster, ModelSize, Workload
from paretomerge.planning.costs import LIBRARIES, merge_cost
from paretomerge.recipes import load_recipe
from paretomerge.stages import (
    estimate_run_front,
    export_point,
    finetune_run,
    fit_run,
    measure_machine,
    merge_checkpoints,
    open_study,
    plan,
)
from paretomerge.stages.planning.machine import STARTS

RESULTS = Path(__file__).parents[1] / "results" / "scale" / "plan.json"
PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
NEAR = 0.3
"""What the prediction may be off by, relative to the measurement."""

LONG = 1.5
"""Seconds: below, most of the time is what PyTorch does when something is used for the first time."""


@dataclass(frozen=True)
class Case:
    """A project, and the stages that are run."""

    shape: Shape
    sections: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[str, ...] = ("fit", "front", "export", "finetune")


def _few(count: int) -> dict[str, int]:
    return dict.fromkeys(("training", "validation", "test"), count)


CASES: dict[str, Case] = {
    "subspace, 0.9 M": Case(Shape(128, 4, 32, examples=_few(64))),
    "subspace, 7.5 M": Case(Shape(384, 4, 32, tasks=2, examples=_few(16))),
    "subspace of whole vectors, 3.4 M": Case(
        Shape(256, 4, 32, examples=_few(32)),
        {"posterior": {"family": "subspace", "settings": {"groups": "model", "enrich": "none"}}},
        ("fit",),
    ),
    "language model, forward mode, 0.4 M": Case(
        Shape(128, 2, 16, vocabulary=200, causal=True, tasks=2, examples=_few(16), batch=16), {}, ("fit", "front")
    ),
    "diagonal, 3.4 M": Case(Shape(256, 4, 64, examples=_few(32)), {"posterior": {"family": "diagonal"}}),
    "K-FAC, 1.4 M": Case(
        Shape(192, 3, 32, vocabulary=300, examples=_few(32)),
        {"posterior": {"family": "kronecker", "settings": {"corrected": False}}},
        ("fit",),
    ),
    "EKFAC, 1.4 M": Case(
        Shape(192, 3, 32, vocabulary=300, examples=_few(32)), {"posterior": {"family": "kronecker"}}, ("fit",)
    ),
    "diagonal, 31 M": Case(
        Shape(768, 4, 16, vocabulary=4000, tasks=2, examples=_few(16)), {"posterior": {"family": "diagonal"}}
    ),
    "averaging, 31 M, float32": Case(Shape(768, 4, 16, vocabulary=4000), {}, ("merge",)),
    "averaging, 31 M, bfloat16": Case(Shape(768, 4, 16, vocabulary=4000, dtype="bfloat16"), {}, ("merge",)),
    "averaging, 125 M, bfloat16": Case(Shape(1024, 8, 16, vocabulary=24_000, dtype="bfloat16"), {}, ("merge",)),
}
DEFAULTS = {
    "front": {"evaluations": 5, "settings": {"stop_gain": 0}, "points": 15},
    "training": {"steps": 6, "examples_per_task": 16},
}


def measure(case: Case, folder: Path, known: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """Both sides of every stage of a case, stage by stage; goes on with a project that is still there."""
    if known is None or not folder.exists():
        found = measure_machine(folder.parent, repeats=3, start=False)
        make_project(folder, case.shape, **{**DEFAULTS, **case.sections})
        size = ModelSize.of(open_checkpoint(folder / "base"))
        # The processor's seconds are compared: of files what copying them takes, not what a disk does.
        here = replace(found, read=found.bandwidth, write=found.bandwidth)
        facts = {"shape": asdict(case.shape), "parameters": size.parameters, "machine": here.as_dict()}
        known = {**facts, "stages": {}}
    for stage in case.stages:
        if stage not in known["stages"]:
            row = _measured(stage, folder, Cluster.parse(known["machine"]), case.shape.tasks)
            known = {**known, "stages": {**known["stages"], stage: row}}
            yield known
    shutil.rmtree(folder)


def _measured(stage: str, folder: Path, here: Cluster, tasks: int) -> dict[str, Any]:
    recipe = folder / "recipe.yaml"
    if stage == "merge":
        cost = in_child(_merge, folder, tasks)
    elif stage in ("fit", "front"):
        cost = in_child(ACTIONS[stage], recipe)
    else:
        cost = in_child(ACTIONS[stage], recipe, folder / f"{stage}-out")
    return {**_predicted(stage, folder, here, tasks), **_row(cost)}


def _predicted(stage: str, folder: Path, here: Cluster, tasks: int) -> dict[str, Any]:
    if stage == "merge":
        found = merge_cost(Workload(ModelSize.of(open_checkpoint(folder / "base")), tasks), here)
    else:
        found = plan(load_recipe(folder / "recipe.yaml"), here).stages[stage]
    assert found.seconds is not None
    return {
        "predicted": round(found.seconds, 3),
        "predicted_memory": round(found.host_memory - FIXED_MEMORY - LIBRARIES * (stage != "merge")),
        "parts": {name: round(seconds, 4) for name, seconds in found.parts.items()},
    }


def predict_again(known: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The predictions of the present formulas for what was measured before, on the machines of then."""
    again = {}
    for name, case in known.items():
        make_project(folder, CASES[name].shape, **{**DEFAULTS, **CASES[name].sections})
        here = Cluster.parse(case["machine"])
        rows = {
            stage: {**row, **_predicted(stage, folder, here, CASES[name].shape.tasks)}
            for stage, row in case["stages"].items()
        }
        again[name] = {**case, "stages": rows}
        shutil.rmtree(folder)
    return again


def _row(measured: Cost) -> dict[str, Any]:
    return {
        "measured": round(measured.processor, 3),
        "wall": round(measured.wall, 3),
        "measured_memory": measured.memory,
    }


def _fit(recipe: Path) -> None:
    fit_run(open_study(recipe))


def _front(recipe: Path) -> None:
    estimate_run_front(open_study(recipe))


def _export(recipe: Path, out: Path) -> None:
    export_point(open_study(recipe), 0, out)


def _finetune(recipe: Path, out: Path) -> None:
    study = open_study(recipe)
    finetune_run(study, out, weights=dict.fromkeys(study.tasks, 1 / len(study.tasks)))


def _merge(folder: Path, tasks: int) -> None:
    finetunes = {f"task{number}": folder / f"task{number}" for number in range(tasks)}
    merge_checkpoints(folder / "merged", folder / "base", finetunes, dict.fromkeys(finetunes, 1 / tasks), Averaging())


ACTIONS: dict[str, Callable[..., None]] = {"fit": _fit, "front": _front, "export": _export, "finetune": _finetune}


def table(results: Mapping[str, Any]) -> str:
    """Every stage of every project, and how many are near."""
    lines = [
        "| project | stage | predicted, s | measured, s | ratio | predicted, MB | measured, MB | ratio |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, case in results["cases"].items():
        for stage, row in case["stages"].items():
            time = f"{row['predicted']:.2f} | {row['measured']:.2f} | {ratio(row):.2f}"
            memory = f"{row['predicted_memory'] / 1e6:.0f} | {row['measured_memory'] / 1e6:.0f}"
            lines.append(f"| {name} | {stage} | {time} | {memory} | {memory_ratio(row):.2f} |")
    rows = rows_of(results)
    near = sum(map(is_near, rows))
    long = [row for row in rows if row["measured"] >= LONG]
    middle = statistics.median(abs(ratio(row) - 1) for row in rows)
    lines += [
        "",
        f"{near} of {len(rows)} times are within {100 * NEAR:.0f} %, of those of at least {LONG} s "
        f"{sum(map(is_near, long))} of {len(long)}; the median is off by {100 * middle:.0f} %.",
    ]
    return "\n".join(lines)


def ratio(row: Mapping[str, float]) -> float:
    """Predicted time over measured."""
    return row["predicted"] / max(row["measured"], 1e-9)


def is_near(row: Mapping[str, float]) -> bool:
    """Whether the prediction is as good as promised."""
    return abs(ratio(row) - 1) <= NEAR


def memory_ratio(row: Mapping[str, float]) -> float:
    """Predicted memory over measured."""
    return row["predicted_memory"] / max(row["measured_memory"], 1)


def rows_of(results: Mapping[str, Any]) -> list[Mapping[str, float]]:
    """All stages of all projects."""
    return [row for case in results["cases"].values() for row in case["stages"].values()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing or named, and store it case by case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="for the projects; they are removed")
    parser.add_argument("--only", nargs="+", choices=list(CASES), help="these, whether they are there or not")
    parser.add_argument("--again", action="store_true", help="measure nothing: predict anew what was measured")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    exec(STARTS)  # what every stage imports is not its cost
    given.folder.mkdir(parents=True, exist_ok=True)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(RESULTS.read_text(encoding="utf-8"))["cases"] if RESULTS.exists() else {}
    if given.again:
        _publish(predict_again(known, given.folder / "again"))
        return
    for name in given.only or CASES:
        case, folder = CASES[name], given.folder / name.replace(" ", "-").replace(",", "")
        stored = known.get(name)
        if stored and set(stored["stages"]) == set(case.stages) and not given.only:
            continue
        for found in measure(case, folder, None if given.only else stored):
            known[name] = found
            _publish(known)


def _publish(known: Mapping[str, Any]) -> None:
    ordered = {"cases": {each: known[each] for each in CASES if each in known}}
    write_text(RESULTS, json.dumps({**machine(), **ordered}, indent=1) + "\n")
    write_section(PAGE, "scale plan", table(ordered))
    print(table(ordered), flush=True)


if __name__ == "__main__":
    main()
