"""Publishes how many joint steps a merge saves: `results/warm-start.json`, and the tables in `benchmarks/README.md`.

python -m benchmarks.joint.publish --out DIR
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.publishing import RESAMPLES, machine, write_section

BENCHMARKS = Path(__file__).parents[1]
STARTS = {"base": "the base", "average": "the average", "merge": "the posteriors' merge"}
Origin = tuple[str, float]
"""Where a training starts, and its learning rate as a multiple of the recipe's."""
Runs = dict[Origin, list[dict[str, Any]]]
"""One entry per weighting of one seed."""


def main() -> None:
    """Read, aggregate, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    results: dict[str, Any] = machine()
    for name in ("digits", "sentiment"):
        seeds = complete_seeds(out / "warm_start" / name)
        if seeds:
            results[name] = aggregate(seeds)
        longer = complete_seeds(out / "warm_start_long" / name)
        if longer:
            results[f"{name}, longer"] = aggregate(longer)
    fresh = read_fresh(out / "fresh_examples")
    if fresh:
        results["sentiment, fresh examples"] = fresh
    (BENCHMARKS / "results" / "warm-start.json").write_text(json.dumps(results, indent=2) + "\n")
    write_section(BENCHMARKS / "README.md", "warm-start", tables(results))
    print(tables(results))


def tables(results: dict[str, Any]) -> str:
    """Markdown of everything that there are results of."""
    sections = []
    for name in ("digits", "sentiment"):
        if name in results:
            sections.append(f"**{name.capitalize()}**, {table(results[name])}")
        if f"{name}, longer" in results:
            sections.append(f"**{name.capitalize()}, longer**, {table(results[f'{name}, longer'], needed=False)}")
    if "sentiment, fresh examples" in results:
        sections.append(fresh_table(results["sentiment, fresh examples"]))
    return "\n\n".join(sections)


def complete_seeds(folder: Path) -> dict[int, Runs]:
    """The seeds with every weighting from every start; a seed under which settings were chosen is no result."""
    found = {int(place.name[4:]): read(place) for place in sorted(folder.glob("seed*"))}
    found = {seed: runs for seed, runs in found.items() if seed < 100 and runs}
    origins = set().union(*found.values()) if found else set()
    most = max((len(rows) for runs in found.values() for rows in runs.values()), default=0)
    return {
        seed: runs
        for seed, runs in found.items()
        if set(runs) == origins and all(len(rows) == most for rows in runs.values())
    }


def read(place: Path) -> Runs:
    """The runs of one seed."""
    found: Runs = defaultdict(list)
    for file in sorted(place.glob("*.json")):
        run = json.loads(file.read_text())
        found[run["start"], run["rate"]].append(run)
    for runs in found.values():
        runs.sort(key=lambda run: run["weights"])
    return dict(found)


def aggregate(seeds: dict[int, Runs]) -> dict[str, Any]:
    """Over seeds: how many steps reach the loss of a whole training from the base, and the loss at equal steps."""
    plain_runs = [runs["base", 1.0] for runs in seeds.values()]
    first = plain_runs[0][0]
    truths = [run["truth"] for runs in plain_runs for run in runs]
    again = [
        abs(run["again"]["scalarised"] - run["truth"]["scalarised"])
        for runs in plain_runs
        for run in runs
        if "again" in run
    ]
    origins = sorted(next(iter(seeds.values())), key=lambda origin: (list(STARTS).index(origin[0]), -origin[1]))
    return {
        "seeds": list(seeds),
        "weightings": [run["weights"] for run in plain_runs[0]],
        "whole": first["steps"],
        "steps": [part["steps"] for part in first["runs"]],
        "truth_loss": float(np.mean([truth["scalarised"] for truth in truths])),
        "truth_accuracy": float(np.mean([np.mean(truth["accuracies"]) for truth in truths])),
        "noise": float(np.mean(again)) if again else None,
        "rows": [row_of(origin, [runs[origin] for runs in seeds.values()], first["steps"]) for origin in origins],
    }


def row_of(origin: Origin, seeds: list[list[dict[str, Any]]], whole: int) -> dict[str, Any]:
    """One start and learning rate."""
    needed = [[steps_needed(run) for run in runs] for runs in seeds]
    share = np.array([np.mean([min(steps, whole) for steps in row]) for row in needed]) / whole
    behind = np.array(
        [mean_over(runs, "scalarised") - np.mean([r["truth"]["scalarised"] for r in runs]) for runs in seeds]
    )
    return {
        "start": origin[0],
        "rate": origin[1],
        "steps_needed_by_seed": [[finite(steps) for steps in row] for row in needed],
        "median_steps_needed": finite(float(np.median(np.concatenate(needed)))),
        "share": float(share.mean()),
        "share_interval_95": interval(share[:, None])[0],
        "never": int(np.isinf(np.concatenate(needed)).sum()),
        "of": int(np.concatenate(needed).size),
        "loss": np.mean([mean_over(runs, "scalarised") for runs in seeds], axis=0).tolist(),
        "behind_whole_interval_95": interval(behind),
        "accuracy": np.mean([mean_over(runs, "accuracies") for runs in seeds], axis=0).tolist(),
    }


def mean_over(runs: list[dict[str, Any]], what: str) -> np.ndarray:
    """Mean over weightings (and tasks) at every length."""
    return np.mean([[np.mean(part[what]) for part in run["runs"]] for run in runs], axis=0)


def steps_needed(run: dict[str, Any]) -> float:
    """The shortest measured training that is at least as good as the whole one from the base; infinite if none is."""
    good = [part["steps"] for part in run["runs"] if part["scalarised"] <= run["truth"]["scalarised"]]
    return float(min(good)) if good else math.inf


def interval(values: np.ndarray) -> list[list[float]]:
    """95 % percentile intervals of the means of columns, resampling seeds."""
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    return np.percentile(values[draws].mean(axis=1), [2.5, 97.5], axis=0).T.tolist()


def read_fresh(folder: Path) -> dict[str, Any]:
    """Start → the runs of every seed on examples that no finetune has seen."""
    found: dict[str, Any] = {}
    for start in STARTS:
        runs = {int(file.parent.name[4:]): json.loads(file.read_text()) for file in folder.glob(f"seed*/{start}.json")}
        if runs:
            found[start] = dict(sorted(runs.items()))
    return found


def fresh_table(found: dict[str, Any]) -> str:
    """The markdown table of joint steps on fresh examples, at equal weights."""
    first = next(iter(next(iter(found.values())).values()))
    rates = list(first["rates"])
    steps = [part["steps"] for part in first["rates"][rates[0]]]
    seeds = {start: ", ".join(map(str, runs)) for start, runs in found.items()}
    lines = [
        "**Sentiment, joint steps on examples that no finetune has seen**, equal weights. *Seen*: the start's loss on "
        "training examples.",
        "",
        f"| from | seeds | rate | seen | {' | '.join(f'loss (accuracy), {count} steps' for count in steps)} | whole |",
        "|---" * (5 + len(steps)) + "|",
    ]
    for start, runs in found.items():
        seen = np.mean([run["starts"]["training"] for run in runs.values()])
        whole = np.mean([run["truth"]["scalarised"] for run in runs.values()])
        for rate in rates:
            rows = [run["rates"][rate] for run in runs.values()]
            losses = np.mean([[part["scalarised"] for part in row] for row in rows], axis=0)
            hits = np.mean([[np.mean(part["accuracies"]) for part in row] for row in rows], axis=0)
            cells = " | ".join(f"{loss:.4f} ({hit:.3f})" for loss, hit in zip(losses, hits, strict=True))
            lines.append(f"| {STARTS[start]} | {seeds[start]} | × {rate} | {seen:.4f} | {cells} | {whole:.4f} |")
    return "\n".join(lines)


def finite(value: float) -> float | None:
    """JSON has no infinity."""
    return None if math.isinf(value) else value


def table(found: dict[str, Any], needed: bool = True) -> str:
    """The markdown table of one setting, with the steps that are needed or without."""
    whole, lengths = found["whole"], found["steps"]
    noise = "" if found["noise"] is None else f" (noise {found['noise']:.4f})"
    rates = len({row["rate"] for row in found["rows"]}) > 1
    columns = ["from", *(["rate"] if rates else [])]
    columns += ["steps needed", f"share of {whole}", "never"] if needed else []
    lines = [
        f"seeds {', '.join(map(str, found['seeds']))}, {len(found['weightings'])} weighting(s): {whole} joint steps "
        f"from the base reach a weighted test loss of {found['truth_loss']:.4f}{noise} and an accuracy of "
        f"{found['truth_accuracy']:.4f}.",
        "",
        f"| {' | '.join(columns)} | {' | '.join(f'loss (accuracy), {steps} steps' for steps in lengths)} |",
        "|---" * (len(columns) + len(lengths)) + "|",
    ]
    for row in found["rows"]:
        low, high = row["share_interval_95"]
        steps = "more" if row["median_steps_needed"] is None else f"{row['median_steps_needed']:g}"
        cells = [STARTS[row["start"]], *([f"× {row['rate']:g}"] if rates else [])]
        if needed:
            cells += [steps, f"{row['share']:.2f} [{low:.2f}, {high:.2f}]", f"{row['never']} of {row['of']}"]
        cells += [f"{loss:.4f} ({hits:.3f})" for loss, hits in zip(row["loss"], row["accuracy"], strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
