"""Publishes how many joint steps a merge saves: `results/warm-start.json`, and the tables in `benchmarks/README.md`.

python benchmarks/joint/publish.py --out DIR
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from publishing import RESAMPLES, machine, write_section

STARTS = {"base": "the base", "average": "the average", "merge": "the posteriors' merge"}
Runs = dict[str, list[dict[str, Any]]]
"""Start → one entry per weighting of one seed."""


def main() -> None:
    """Read, aggregate, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    folder = parser.parse_args().out / "warm_start"
    results: dict[str, Any] = machine()
    sections = []
    for name in ("digits", "sentiment"):
        seeds = {int(place.name[4:]): read(place) for place in sorted((folder / name).glob("seed*"))}
        # A seed under which settings were chosen is no result.
        complete = {seed: runs for seed, runs in seeds.items() if seed < 100 and is_complete(runs)}
        if complete:
            results[name] = aggregate(complete)
            sections.append(f"**{name.capitalize()}**: {table(results[name])}")
    (HERE.parent / "results" / "warm-start.json").write_text(json.dumps(results, indent=2) + "\n")
    write_section(HERE.parent / "README.md", "warm-start", "\n\n".join(sections))
    print("\n\n".join(sections))


def read(place: Path) -> Runs:
    """The runs of one seed at the recipe's own learning rate."""
    found: Runs = defaultdict(list)
    for file in sorted(place.glob("*-rate1.json")):
        run = json.loads(file.read_text())
        found[run["start"]].append(run)
    for runs in found.values():
        runs.sort(key=lambda run: run["weights"])
    return dict(found)


def is_complete(runs: Runs) -> bool:
    """Whether every start has every weighting."""
    return set(runs) == set(STARTS) and len({len(found) for found in runs.values()}) == 1


def aggregate(seeds: dict[int, Runs]) -> dict[str, Any]:
    """Over seeds: how many steps reach the loss of a whole training from the base, and the loss at equal steps."""
    first = next(iter(seeds.values()))["base"][0]
    lengths = [run["steps"] for run in first["runs"]]
    rows = []
    for start in STARTS:
        losses = np.array([mean_over(runs[start], "scalarised") for runs in seeds.values()])  # [seeds, lengths]
        hits = np.array([mean_over(runs[start], "accuracies") for runs in seeds.values()])
        needed = [[steps_needed(run) for run in runs[start]] for runs in seeds.values()]
        share = np.array([np.mean([min(n, first["steps"]) for n in row]) for row in needed]) / first["steps"]
        rows.append(
            {
                "start": start,
                "steps_needed_by_seed": [[None if math.isinf(n) else n for n in row] for row in needed],
                "median_steps_needed": plain(float(np.median(np.concatenate(needed)))),
                "share": float(share.mean()),
                "share_interval_95": interval(share),
                "never": int(np.isinf(np.concatenate(needed)).sum()),
                "loss": losses.mean(axis=0).tolist(),
                "accuracy": hits.mean(axis=0).tolist(),
            }
        )
    truth = np.array([np.mean([run["truth"]["scalarised"] for run in runs["base"]]) for runs in seeds.values()])
    again = [
        abs(r["again"]["scalarised"] - r["truth"]["scalarised"])
        for s in seeds.values()
        for r in s["base"]
        if "again" in r
    ]
    return {
        "seeds": list(seeds),
        "weightings": [run["weights"] for run in next(iter(seeds.values()))["base"]],
        "whole": first["steps"],
        "steps": lengths,
        "truth_loss": float(truth.mean()),
        "truth_accuracy": float(
            np.mean([np.mean(r["truth"]["accuracies"]) for s in seeds.values() for r in s["base"]])
        ),
        "noise": float(np.mean(again)) if again else None,
        "rows": rows,
    }


def mean_over(runs: list[dict[str, Any]], what: str) -> list[float]:
    """Mean over weightings (and tasks) at every length."""
    return np.mean([[np.mean(part[what]) for part in run["runs"]] for run in runs], axis=0).tolist()


def steps_needed(run: dict[str, Any]) -> float:
    """The shortest measured training that is at least as good as the whole one from the base; infinite if none is."""
    good = [part["steps"] for part in run["runs"] if part["scalarised"] <= run["truth"]["scalarised"]]
    return float(min(good)) if good else math.inf


def interval(values: np.ndarray) -> list[float]:
    """95 % percentile interval of the mean, resampling seeds."""
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    return [float(q) for q in np.percentile(values[draws].mean(axis=1), [2.5, 97.5])]


def plain(value: float) -> float | None:
    """JSON has no infinity."""
    return None if math.isinf(value) else value


def table(found: dict[str, Any]) -> str:
    """The markdown table of one setting."""
    whole, lengths = found["whole"], found["steps"]
    noise = "" if found["noise"] is None else f" (noise {found['noise']:.4f})"
    lines = [
        f"seeds {', '.join(map(str, found['seeds']))}, {len(found['weightings'])} weightings each. Joint finetuning from "
        f"the base with {whole} steps reaches a weighted test loss of {found['truth_loss']:.4f}{noise} and an accuracy "
        f"of {found['truth_accuracy']:.4f}. *Steps needed*: the shortest training that is as good; *share* counts a "
        f"training that never is as a whole one; 95 % interval over seeds.",
        "",
        f"| from | steps needed (median) | share of {whole} | never | "
        + " | ".join(f"loss, {steps} steps" for steps in lengths)
        + " |",
        "|---" * (4 + len(lengths)) + "|",
    ]
    for row in found["rows"]:
        low, high = row["share_interval_95"]
        needed = "more" if row["median_steps_needed"] is None else f"{row['median_steps_needed']:g}"
        losses = " | ".join(f"{loss:.4f}" for loss in row["loss"])
        lines.append(
            f"| {STARTS[row['start']]} | {needed} | {row['share']:.2f} [{low:.2f}, {high:.2f}] | {row['never']} | {losses} |"
        )
    accuracies = "; ".join(
        f"{STARTS[row['start']]} " + ", ".join(f"{hit:.3f}" for hit in row["accuracy"]) for row in found["rows"]
    )
    return "\n".join([*lines, "", f"Accuracies at the same steps: {accuracies}."])


if __name__ == "__main__":
    main()
