"""How many workers an asynchronous search keeps busy, against batches: simulated up to 1000.

    python -m benchmarks.scale.simulation

Durations are lognormal (spread 0.3), two in a hundred take five times as long; workers die once a day of work and are
back, with the run opened, after three minutes; ten evaluations per worker. What the driver takes for a proposal was
measured (`planning.costs`). Writes `benchmarks/results/scale/simulation.json` and the pictures of `docs/scale.md`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.publishing import machine, write_section

from paretomerge.checkpoints.atomic import write_text
from paretomerge.planning import Durations, Load, Simulated, compare_orders
from paretomerge.planning.costs import FURTHER_POINT, PROPOSAL, PROPOSAL_GROWTH

HERE = Path(__file__).parents[1]
RESULTS = HERE / "results" / "scale" / "simulation.json"
PAGE = HERE.parent / "docs" / "scale.md"
PICTURE = HERE.parent / "docs" / "assets" / "scale-workers.png"

WORKERS = (1, 2, 4, 8, 16, 32, 64, 125, 250, 500, 1000)
SECONDS = (20.0, 120.0, 1200.0)
PER_WORKER = 10
LIVES = (1.0, 4.0, 12.0, 24.0, 168.0)
"""Hours of work between two deaths of a worker."""


def load_of(workers: int, seconds: float, *, hours: float = 24.0) -> Load:
    """A load with everything that goes wrong."""
    return Load(
        workers,
        PER_WORKER * workers,
        Durations(seconds, spread=0.3, stragglers=0.02, factor=5.0),
        propose=PROPOSAL,
        growth=PROPOSAL_GROWTH,
        further=FURTHER_POINT,
        failures=1 / (3600 * hours),
        restart=60.0,
        start_up=120.0,
    )


def measure() -> dict[str, Any]:
    """Every number of the pictures."""
    rows, deaths = [], []
    for seconds in SECONDS:
        for workers in WORKERS:
            found = compare_orders(load_of(workers, seconds), range(3))
            free = compare_orders(replace(load_of(workers, seconds), propose=0.0, growth=0.0), range(3))
            rows.append(
                {
                    "seconds": seconds,
                    "workers": workers,
                    **{order: _summary(each) for order, each in found.items()},
                    **{f"{order}, free proposals": _summary(each) for order, each in free.items()},
                }
            )
    for hours in LIVES:
        found = compare_orders(load_of(125, 1200.0, hours=hours), range(3))
        deaths.append({"hours": hours, **{order: _summary(each) for order, each in found.items()}})
    return {**machine(), "per worker": PER_WORKER, "rows": rows, "deaths": deaths}


def _summary(found: Sequence[Simulated]) -> dict[str, float]:
    def middle(name: str) -> float:
        return float(f"{statistics.median(getattr(each, name) for each in found):.4g}")

    return {name: middle(name) for name in ("utilisation", "wasted", "makespan", "unseen", "speed_up")}


def draw(results: dict[str, Any], target: Path = PICTURE) -> None:
    """Utilisation against workers, one panel per duration."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    styles = {
        "asynchronous": ("#3949ab", "-", "o"),
        "asynchronous, free proposals": ("#3949ab", ":", ""),
        "batches": ("#ef6c00", "-", "s"),
        "batches, free proposals": ("#ef6c00", ":", ""),
    }
    axes = figure.subplots(1, len(SECONDS), sharey=True)
    for axis, seconds in zip(axes, SECONDS, strict=True):
        rows = [row for row in results["rows"] if row["seconds"] == seconds]
        for name, (colour, line, marker) in styles.items():
            axis.plot(
                [row["workers"] for row in rows],
                [100 * row[name]["utilisation"] for row in rows],
                color=colour,
                linestyle=line,
                marker=marker,
                markersize=3.5,
                label=name,
            )
        axis.set_xscale("log")
        axis.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
        axis.set_title(f"{seconds:g} s per evaluation", fontsize=10)
        axis.set_xlabel("workers")
        axis.set_ylim(0, 105)
        axis.grid(alpha=0.25)
    axes[0].set_ylabel("time spent on scores, %")
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=4)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=130)


def table(results: dict[str, Any]) -> str:
    """Some of the rows in Markdown."""
    lines = [
        "| seconds | workers | asynchronous, % | batches, % | free proposals: asynchronous | batches | scores unseen |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in results["rows"]:
        if row["workers"] in (8, 64, 250, 1000):
            shares = [
                100 * row[name]["utilisation"]
                for name in ("asynchronous", "batches", "asynchronous, free proposals", "batches, free proposals")
            ]
            cells = " | ".join(f"{share:.0f}" for share in shares)
            lines.append(f"| {row['seconds']:g} | {row['workers']} | {cells} | {row['asynchronous']['unseen']:.0f} |")
    lines += [
        "",
        "| a worker dies every … hours | lost work, % | asynchronous, % | batches, % |",
        "|---:|---:|---:|---:|",
    ]
    for row in results["deaths"]:
        free, barred = row["asynchronous"], row["batches"]
        lines.append(
            f"| {row['hours']:g} | {100 * free['wasted']:.2g} | {100 * free['utilisation']:.0f} "
            f"| {100 * barred['utilisation']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Simulate, store, draw."""
    found = measure()
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_text(RESULTS, json.dumps(found, indent=1) + "\n")
    draw(found)
    write_section(PAGE, "scale simulation", table(found))
    print(table(found))


if __name__ == "__main__":
    main()
