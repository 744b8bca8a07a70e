"""From the files of `run.py` and `studies.py` to `results/fronts.json` and the tables of `benchmarks/README.md`.

python -m benchmarks.fronts.publish --out DIR/fronts
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.fronts.contestants import CONTESTANTS
from benchmarks.fronts.landscapes import names
from benchmarks.publishing import RESAMPLES, machine, write_section

HERE = Path(__file__).parent

SHARES = (0.95, 0.99)
LOOKS = (0, 5, 10, 20, 50)
TITLES = {
    "informed": "informed",
    "map": "map (repaired)",
    "bayesian-map": "bayesian-map",
    "plain-bo": "plain BO",
    "nsga2": "NSGA-II",
    "sobol": "Sobol",
    "random": "random",
}


def main() -> None:
    """Aggregate what is there, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder given to run.py")
    out = parser.parse_args().out
    results = {**machine(), "landscapes": collect(out), "studies": studies(out / "studies")}
    (HERE.parent / "results" / "fronts.json").write_text(json.dumps(results, indent=1) + "\n")
    write_section(HERE.parent / "README.md", "fronts", tables(results))


def collect(out: Path) -> dict[str, dict[str, Any]]:
    """Every landscape and contestant over the seeds below 100 that have it."""
    found: dict[str, dict[str, Any]] = {}
    for name in names():
        rows = {}
        for contestant in CONTESTANTS:
            files = [file for file in out.glob(f"{name}/seed*/{contestant}.json") if int(file.parent.name[4:]) < 100]
            runs = sorted((json.loads(file.read_text()) for file in files), key=lambda run: run["seed"])
            if runs:
                rows[contestant] = entry(runs)
        for contestant, row in rows.items():
            if contestant != "informed" and "informed" in rows:
                row["times_informed"] = {str(s): times(row, rows["informed"], str(s)) for s in SHARES}
        if rows:
            found[name] = rows
    return found


def entry(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One contestant on one landscape."""
    needed = {str(share): [reached(run["evaluations"], run["share"], share) for run in runs] for share in SHARES}
    return {
        "seeds": [run["seed"] for run in runs],
        "needed": needed,
        "spent": [max(run["evaluations"], default=0) for run in runs],
        "most": max(max(run["evaluations"], default=0) for run in runs),
        "median": {share: median(values) for share, values in needed.items()},
        "at": {str(look): shares_at(runs, look) for look in LOOKS},
        "seconds": float(np.median([run["seconds"] for run in runs])),
        "curves": [[run["evaluations"], [round(share, 4) for share in run["share"]]] for run in runs],
    }


def reached(evaluations: Sequence[int], shares: Sequence[float], share: float) -> float | None:
    """The number of evaluations from which two looks in a row have at least this share; the last look may be alone.

    >>> reached([5, 10, 15, 20], [0.96, 0.94, 0.95, 0.97], 0.95)
    15
    >>> reached([5, 10], [0.5, 0.6], 0.95) is None
    True
    """
    good = [found >= share for found in shares]
    for look, count in enumerate(evaluations):
        if good[look] and (look + 1 == len(good) or good[look + 1]):
            return count
    return None


def median(values: Sequence[float | None]) -> list[float | None]:
    """Median and 95 % bootstrap interval over seeds; `None` where the search was given up first.

    >>> median([5, 5, 10, None])
    [7.5, 5.0, None]
    """
    numbers = np.array([np.inf if value is None else value for value in values])
    draws = numbers[np.random.default_rng(0).integers(len(numbers), size=(RESAMPLES, len(numbers)))]
    centre = middle(numbers[None])[0]
    low, high = np.quantile(middle(draws), [0.025, 0.975], method="nearest")
    return [float(value) if np.isfinite(value) else None for value in (centre, low, high)]


def middle(rows: np.ndarray) -> np.ndarray:
    """Medians of rows that may hold infinities."""
    ordered = np.sort(rows, axis=1)
    size = rows.shape[1]
    return (ordered[:, (size - 1) // 2] + ordered[:, size // 2]) / 2


def times(row: Mapping[str, Any], informed: Mapping[str, Any], share: str) -> list[float | None] | None:
    """How many times informed's evaluations: median of the seeds' ratios, with 95 % bootstrap interval.

    No evaluation at all counts as one. A search that was given up counts as infinitely many, and informed's as none
    that helps (0); seeds in which both were given up, or the other one before informed had enough, say nothing.
    """
    other = dict(zip(row["seeds"], zip(row["needed"][share], row["spent"], strict=True), strict=True))
    ours = dict(zip(informed["seeds"], zip(informed["needed"][share], informed["spent"], strict=True), strict=True))
    ratios: list[float | None] = []
    for seed in sorted(set(other) & set(ours)):
        (mine, my_last), (theirs, their_last) = ours[seed], other[seed]
        if mine is not None and theirs is not None:
            ratios.append(max(theirs, 1) / max(mine, 1))
        elif mine is not None and their_last >= mine:
            ratios.append(None)
        elif theirs is not None and my_last >= theirs:
            ratios.append(0.0)
    return median(ratios) if ratios else None


def shares_at(runs: Sequence[Mapping[str, Any]], look: int) -> float | None:
    """Median share with at most so many evaluations; a search that had found enough keeps what it had."""
    found = []
    for run in runs:
        usable = [share for count, share in zip(run["evaluations"], run["share"], strict=True) if count <= look]
        if not usable:
            return None
        found.append(usable[-1])
    return float(np.median(found))


def studies(folder: Path) -> dict[str, Any]:
    """Each study's numbers: mean over seeds below 100, and all of them."""
    found: dict[str, Any] = {}
    for place in sorted(folder.glob("*")):
        files = [file for file in place.glob("seed*.json") if int(file.stem[4:]) < 100]
        runs = [json.loads(file.read_text()) for file in sorted(files, key=lambda file: int(file.stem[4:]))]
        if runs:
            found[place.name] = averaged(runs)
    return found


def averaged(runs: Sequence[Any]) -> Any:
    """Dictionaries of numbers, number by number: mean, and 95 % bootstrap interval over seeds."""
    if isinstance(runs[0], Mapping):
        return {key: averaged([run[key] for run in runs]) for key in runs[0]}
    numbers = np.array(runs, dtype=float)
    draws = numbers[np.random.default_rng(0).integers(len(numbers), size=(RESAMPLES, len(numbers)))].mean(axis=1)
    return [float(numbers.mean()), *(float(q) for q in np.quantile(draws, [0.025, 0.975]))]


def tables(results: Mapping[str, Any]) -> str:
    """All of them."""
    lines = []
    for share in SHARES:
        lines += [f"**Evaluations needed for {100 * share:.0f} %** (medians over seeds, 95 % bootstrap intervals):", ""]
        lines += [*needed_table(results["landscapes"], str(share)), ""]
    lines += ["**As a multiple of informed's** (median of the seeds' ratios):", ""]
    for share in SHARES:
        lines += [f"{100 * share:.0f} %:", "", *times_table(results["landscapes"], str(share)), ""]
    lines += ["**Share after a number of evaluations** (medians): informed / map / plain BO", ""]
    lines += [*looks_table(results["landscapes"]), ""]
    for title, name in (("Coverage of nominal 90 % intervals", "coverage"), ("Held-out R² of the quadratic", "fits")):
        if name in results["studies"]:
            lines += [f"**{title}**:", "", *STUDY_TABLES[name](results["studies"][name]), ""]
    for title, name in (("Many tasks", "nested"), ("Wall seconds, one core", "speed")):
        if name in results["studies"]:
            lines += [f"**{title}**:", "", *STUDY_TABLES[name](results["studies"][name]), ""]
    return "\n".join(lines).rstrip()


def needed_table(landscapes: Mapping[str, Any], share: str) -> list[str]:
    """Landscapes by contestants."""
    lines = ["| landscape | " + " | ".join(TITLES.values()) + " |", "|---" * (1 + len(TITLES)) + "|"]
    for name, rows in landscapes.items():
        cells = [needed_cell(rows[key], share) if key in rows else "" for key in TITLES]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def needed_cell(row: Mapping[str, Any], share: str) -> str:
    """`15 [10, 20]`, or `> 60`."""
    centre, low, high = row["median"][share]
    if centre is None:
        done = sum(value is not None for value in row["needed"][share])
        return f"> {row['most']}" + (f" ({done} of {len(row['seeds'])} seeds)" if done else "")
    ends = [f"{low:g}", f"> {row['most']}" if high is None else f"{high:g}"]
    return f"{centre:g} [{ends[0]}, {ends[1]}]"


def times_table(landscapes: Mapping[str, Any], share: str) -> list[str]:
    """Landscapes by the others."""
    others = [key for key in TITLES if key != "informed"]
    lines = ["| landscape | " + " | ".join(TITLES[key] for key in others) + " |", "|---" * (1 + len(others)) + "|"]
    for name, rows in landscapes.items():
        cells = []
        for key in others:
            found = rows.get(key, {}).get("times_informed", {}).get(share)
            cells.append("" if found is None else times_cell(found))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def times_cell(found: Sequence[float | None]) -> str:
    """`3.0 [2.1, 4.0]`; `∞` where the other was given up."""
    centre, low, high = ("∞" if value is None else f"{value:.1f}" for value in found)
    return f"{centre} [{low}, {high}]"


def looks_table(landscapes: Mapping[str, Any]) -> list[str]:
    """Shares at a few numbers of evaluations."""
    lines = ["| landscape | " + " | ".join(map(str, LOOKS)) + " |", "|---" * (1 + len(LOOKS)) + "|"]
    for name, rows in landscapes.items():
        shown = [rows[key]["at"] for key in ("informed", "map", "plain-bo") if key in rows]
        cells = [" / ".join(share_cell(row[str(look)]) for row in shown) for look in LOOKS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def share_cell(share: float | None) -> str:
    """`0.987`, or a dash where a method cannot say anything yet."""
    return "-" if share is None else f"{share:.3f}"


def coverage_table(found: Mapping[str, Any]) -> list[str]:
    """Landscapes by evaluations."""
    budgets = list(next(iter(found.values())))
    lines = [
        "| landscape | " + " | ".join(f"{n} evaluations" for n in budgets) + " |",
        "|---" * (1 + len(budgets)) + "|",
    ]
    for name, row in found.items():
        cells = ["{:.3f} [{:.3f}, {:.3f}]".format(*row[n]["covered"]) for n in budgets]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def fits_table(found: Mapping[str, Any]) -> list[str]:
    """Landscapes by noise."""
    lines = ["| landscape | exact scores | worst objective | shares of 1000 examples |", "|---|---|---|---|"]
    for name in dict.fromkeys(key.partition(" ")[0] for key in found):
        exact, noisy = found[f"{name} exact"], found[f"{name} noisy"]
        lines.append(f"| {name} | {exact['mean'][0]:.5f} | {exact['worst'][0]:.5f} | {noisy['mean'][0]:.3f} |")
    return lines


def nested_table(found: Mapping[str, Any]) -> list[str]:
    """Methods."""
    lines = ["| landscape, method | evaluations | utility | share of hypervolume | seconds |", "|---|---|---|---|---|"]
    for name, row in found.items():
        share = f"{row['share'][0]:.3f}" if "share" in row else ""
        utility = "{:.3f} [{:.3f}, {:.3f}]".format(*row["utility"])
        lines.append(f"| {name} | {row['evaluations'][0]:.0f} | {utility} | {share} | {row['seconds'][0]:.1f} |")
    return lines


def speed_table(found: Mapping[str, Any]) -> list[str]:
    """One row each."""
    lines = ["| what | seconds | relative error |", "|---|---|---|"]
    lines.append(f"| fit, T = 8, N = 200 | {found['fit'][0]:.2f} | |")
    lines.append(f"| proposal of 8 points | {found['propose'][0]:.2f} | |")
    for objectives in (2, 3, 4, 5):
        row = found[f"hypervolume {objectives}"]
        lines.append(
            f"| hypervolume, {objectives} objectives, 1000 points | {row['seconds'][0]:.4f} | {row['error'][0]:.0e} |"
        )
    return lines


STUDY_TABLES = {"coverage": coverage_table, "fits": fits_table, "nested": nested_table, "speed": speed_table}


if __name__ == "__main__":
    main()
