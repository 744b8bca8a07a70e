"""Which posterior previews joint finetuning best: every family, route, location and damping, on two settings.

    python -m benchmarks.posteriors.run --setting digits --out DIR          # about an hour of one core
    python -m benchmarks.posteriors.run --setting sentiment --out DIR       # hours of one core
    python -m benchmarks.posteriors.publish --out DIR

Each row of each seed is one file in DIR, so the same command continues an interrupted run; trainings are kept too.
"""

from __future__ import annotations

import argparse
import json
import re
import time
import traceback
from pathlib import Path

from benchmarks.posteriors.measure import measure, one_thread, quality
from benchmarks.posteriors.rows import ROWS
from benchmarks.posteriors.settings import SETTINGS
from benchmarks.suite.recording import slug

from paretomerge.checkpoints.atomic import write_text

SEEDS = {"digits": (0, 1, 2, 3, 4), "sentiment": (0, 1, 2)}


def main() -> None:
    """Train what is missing, measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setting", choices=sorted(SETTINGS), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--only", default="", help="regular expression on the names of rows")
    chosen = parser.parse_args()
    one_thread()
    rows = [row for row in ROWS[chosen.setting] if re.search(chosen.only, row.name)]
    for seed in chosen.seeds or SEEDS[chosen.setting]:
        results = chosen.out / "results" / chosen.setting / f"seed{seed}"
        results.mkdir(parents=True, exist_ok=True)
        waiting = [row for row in rows if not (results / file_name(row.name)).exists()]
        if not waiting and (results / "floor.json").exists():
            continue
        setting = SETTINGS[chosen.setting](chosen.out, seed)
        if not (results / "floor.json").exists():
            truth = setting.truth.take(range(len(setting.again)))
            write_text(results / "floor.json", json.dumps(quality(setting.floor, truth)))
        for row in waiting:
            started = time.perf_counter()
            try:
                found = measure(setting, row)
            except Exception:
                print(f"seed {seed}  {row.name}: failed", flush=True)
                traceback.print_exc()
                continue
            write_text(results / file_name(row.name), json.dumps(found, indent=1))
            best = found["at"].get(found["chosen"]["validation"], {}).get("loss_error", float("nan"))
            print(f"seed {seed}  {row.name}: {best:.4f}  ({time.perf_counter() - started:.0f} s)", flush=True)


def file_name(name: str) -> str:
    """A row's file."""
    return f"{slug(name)}.json"


if __name__ == "__main__":
    main()
