"""On paper: what 70 billion parameters and eight tasks would take, and where it would not work.

    python -m benchmarks.scale.paper

Nothing is run: sizes are those of a Llama 3 of 70 B (and 8 B) parameters in bfloat16, examples have 512 tokens, a task
has 1000 examples for curvature and 200 that merged models are scored on. Writes
`benchmarks/results/scale/paper.json`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.publishing import machine, write_section

from paretomerge.checkpoints.atomic import write_text
from paretomerge.curvature import FitDiagonal, FitSubspace
from paretomerge.planning import ModelSize, Plan, Search, Workload, example_cluster, plan_workload, transformer_size
from paretomerge.planning.costs import in_words
from paretomerge.planning.sizes import passes_of_size
from paretomerge.training import TrainingRecipe

RESULTS = Path(__file__).parents[1] / "results" / "scale" / "paper.json"
PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
TOKENS = 512
TASKS = 8
SIZES: dict[str, ModelSize] = {
    "8 B": transformer_size(32, 4096, 14336, 128256, key_value_width=1024),
    "70 B": transformer_size(80, 8192, 28672, 128256, key_value_width=1024),
}
FITS = {"diagonal": FitDiagonal(), "subspace": FitSubspace(examples=100, gradient_examples=1000)}


def workload(size: ModelSize, fit: Any, workers: int = 1) -> Workload:
    """Eight tasks of a model of this size."""
    layers = sum(name.endswith("input_layernorm.weight") for name in size.specs)
    vocabulary = size.specs["lm_head.weight"].shape[0]
    passes = replace(passes_of_size(size, TOKENS, batch=8.0, dtype="bfloat16"), outputs=float(TOKENS * vocabulary))
    return Workload(
        size,
        TASKS,
        fit,
        groups=layers + 3,
        examples={"fit": 1000, "front": 200, "training": 1000, "validation": 200, "test": 200},
        passes=passes,
        search=Search(60, 9, 5, workers, workers > 1, shared=True),
        training=TrainingRecipe(steps=1000, examples_per_task=4, precision="bfloat16"),
    )


def measure() -> dict[str, Any]:
    """Plans of both sizes and families, on one machine and on 125."""
    cases = {}
    for name, size in SIZES.items():
        for family, fit in FITS.items():
            for machines, workers in ((1, 1), (1, 8), (125, 1000)):
                cluster = replace(example_cluster("8xh100"), machines=machines)
                found = plan_workload(workload(size, fit, workers), cluster)
                cases[f"{name}, {family}, {workers} workers"] = _summary(found)
    return {**machine(), "cases": cases}


def _summary(found: Plan) -> dict[str, Any]:
    stages = {
        stage: {
            "seconds": None if cost.seconds is None else float(f"{cost.seconds:.4g}"),
            "money": None if cost.money is None else float(f"{cost.money:.4g}"),
            "devices": cost.devices,
            "host_memory": float(f"{cost.host_memory:.4g}"),
            "device_memory": float(f"{cost.device_memory:.4g}"),
            "disk": float(f"{cost.disk:.4g}"),
            "parts": {part: float(f"{seconds:.4g}") for part, seconds in cost.parts.items()},
        }
        for stage, cost in found.stages.items()
    }
    return {"stages": stages, "warnings": list(found.warnings)}


def table(results: dict[str, Any], workers: int = 8) -> str:
    """One machine of eight H100, in hours."""
    lines = [
        "| model, posterior | stage | hours | USD | host memory | per device | disk |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, case in results["cases"].items():
        if not name.endswith(f", {workers} workers"):
            continue
        for stage, cost in case["stages"].items():
            money = f"{cost['money']:,.0f}"
            sizes = " | ".join(in_words(cost[each]) for each in ("host_memory", "device_memory", "disk"))
            title = name.removesuffix(f", {workers} workers")
            lines.append(f"| {title} | {stage} | {cost['seconds'] / 3600:.3g} | {money} | {sizes} |")
    return "\n".join(lines)


def main() -> None:
    """Calculate, store, print."""
    found = measure()
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_text(RESULTS, json.dumps(found, indent=1) + "\n")
    write_section(PAGE, "scale paper", table(found))
    print(table(found))


if __name__ == "__main__":
    main()
