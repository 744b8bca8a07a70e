"""Preview quality on the digits demo over several seeds: ratios of means with intervals, from real runs.

    python -m benchmarks.digits --seeds 0 1 2 3 4 --out DIR

Each seed is one `paretomerge demo` (other splits of the images, another base model, other trainings); finished seeds
are not run again. Writes `benchmarks/results/digits.json` (numbers, machine, versions) and the table in
`benchmarks/README.md`, which is generated, never typed.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.publishing import bootstrap_ratio, machine, write_section
from paretomerge.demo import run_demo
from paretomerge.demo.methods import HEADLINE

HERE = Path(__file__).parent
MEASURES = ("loss_error", "loss_error_interior", "loss_error_edges", "loss_error_unweighted", "accuracy_error")
FRONTS = ("hypervolume_ratio", "igd_plus", "rank_correlation", "scalarised_loss", "loss_bias")


def main() -> None:
    """Run the seeds, aggregate, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "digits.json")
    chosen = parser.parse_args()
    runs = []
    for seed in chosen.seeds:
        folder = chosen.out / f"seed{seed}"
        if not (folder / "demo.json").exists():
            print(f"seed {seed} …", flush=True)
            run_demo(folder, seed=seed, workers=chosen.workers)
        runs.append(json.loads((folder / "demo.json").read_text()))
    results = {"headline": HEADLINE, "seeds": chosen.seeds, **machine(), "methods": aggregate(runs)}
    chosen.results.parent.mkdir(exist_ok=True)
    chosen.results.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))
    write_section(HERE / "README.md", "digits", table(results))
    write_section(HERE.parent / "README.md", "demo", readme_table(runs[0]))
    pictures = HERE.parent / "docs" / "assets"
    pictures.mkdir(exist_ok=True)
    shutil.copyfile(chosen.out / f"seed{chosen.seeds[0]}" / "front.png", pictures / "front.png")


def aggregate(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per method: means over seeds, ratio of means to averaging with a bootstrap interval over seeds."""
    names = [row["name"] for row in runs[0]["methods"]]
    rows = {name: [next(r for r in run["methods"] if r["name"] == name) for run in runs] for name in names}
    rows["joint finetuning, another seed"] = [run["joint_noise"] for run in runs]
    plain = np.array([row["loss_error"] for row in rows["averaging"]])
    floor = np.array([run["joint_noise"]["loss_error"] for run in runs])
    found = []
    for name, seeds in rows.items():
        errors = np.array([row["loss_error"] for row in seeds])
        entry: dict[str, Any] = {"name": name, "loss_error_by_seed": errors.tolist()}
        entry |= {measure: float(np.mean([row[measure] for row in seeds])) for measure in (*MEASURES, *FRONTS)}
        entry["ratio_to_averaging"] = float(errors.mean() / plain.mean())
        entry["ratio_interval_95"] = bootstrap_ratio(errors, plain)
        entry["ratio_by_seed"] = (errors / plain).tolist()
        entry["multiple_of_floor"] = float(errors.mean() / floor.mean())
        entry["strengths"] = [row.get("strength") for row in seeds]
        entry["seconds"] = float(np.mean([row.get("seconds") or 0.0 for row in seeds]))
        entry["gradient_passes"] = seeds[0].get("gradient_passes")
        found.append(entry)
    return found


def table(results: dict[str, Any]) -> str:
    """The markdown table."""
    seeds = ", ".join(map(str, results["seeds"]))
    columns = (
        "method",
        "loss error",
        "× averaging",
        "× floor",
        "interior",
        "unweighted",
        "accuracy error",
        "hypervolume ratio",
        "IGD+",
        "rank corr.",
        "scalarised loss",
        "seconds",
    )
    lines = [
        f"Seeds {seeds}. Test split; means over seeds; ratio of means to averaging with a 95 % bootstrap interval over "
        "seeds; × floor is the multiple of the error between two joint grids that differ in seed only. *Interior*: "
        "every task has weight; *unweighted*: losses of tasks whose weight is zero.",
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]
    for row in results["methods"]:
        low, high = row["ratio_interval_95"]
        name = f"**{row['name']}**" if row["name"] == results["headline"] else row["name"]
        lines.append(
            f"| {name} | {row['loss_error']:.4f} | {row['ratio_to_averaging']:.2f} [{low:.2f}, {high:.2f}] "
            f"| {row['multiple_of_floor']:.1f} | {row['loss_error_interior']:.4f} | {row['loss_error_unweighted']:.4f} "
            f"| {row['accuracy_error']:.4f} | {row['hypervolume_ratio']:.3f} | {row['igd_plus']:.4f} "
            f"| {row['rank_correlation']:.3f} | {row['scalarised_loss']:.3f} | {row['seconds']:.1f} |"
        )
    return "\n".join(lines)


def readme_table(run: dict[str, Any]) -> str:
    """The short table of one run, for the project's README."""
    plain = next(row["loss_error"] for row in run["methods"] if row["name"] == "averaging")
    noise = {"name": "joint finetuning, another seed", **run["joint_noise"]}
    lines = [
        "| previews by | loss error (nats) | × averaging | accuracy error | hypervolume ratio | rank correlation |",
        "|---|---|---|---|---|---|",
    ]
    for row in (*run["methods"], noise):
        name = f"**{row['name']}**" if row["name"] == run["headline"] else row["name"]
        lines.append(
            f"| {name} | {row['loss_error']:.4f} | {row['loss_error'] / plain:.2f} | {row['accuracy_error']:.4f} "
            f"| {row['hypervolume_ratio']:.3f} | {row['rank_correlation']:.3f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
