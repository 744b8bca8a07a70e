"""How many evaluations each search needs for 95 % and 99 % of the hypervolume of a dense search.

    python -m benchmarks.fronts.record --setting digits --seed 0 --out DIR      # and so on: see record.py
    python -m benchmarks.fronts.run --recordings DIR/landscapes --out DIR/fronts
    python -m benchmarks.fronts.publish --out DIR/fronts

Each contestant on each seed of each landscape is one file, so the same command continues an interrupted run, and
several at once share the work (each takes what it finds missing when it comes to it).
"""

from __future__ import annotations

import argparse
import json
import re
import time
import traceback
from pathlib import Path

import numpy as np
import torch
from benchmarks.fronts.contestants import CHECKPOINTS, CONTESTANTS, MOST, Ledger
from benchmarks.fronts.landscapes import Landscape, build, names

from paretomerge.checkpoints.atomic import write_text

SEEDS = range(10)
ENOUGH = 0.99


class Enough(Exception):  # noqa: N818
    """Two looks in a row have found what was searched."""


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recordings", type=Path, required=True, help="where record.py has written")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--landscapes", default="", help="regular expression")
    parser.add_argument("--contestants", default="", help="regular expression")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    contestants = [name for name in CONTESTANTS if re.search(chosen.contestants, name)]
    for seed in chosen.seeds:
        for name in names():
            if not re.search(chosen.landscapes, name):
                continue
            landscape = None
            for contestant in contestants:
                place = chosen.out / name / f"seed{seed}" / f"{contestant}.json"
                if place.exists():
                    continue
                landscape = landscape or build(name, seed, chosen.recordings)
                run(landscape, contestant, seed, place)


def run(landscape: Landscape, contestant: str, seed: int, place: Path) -> None:
    """One file."""
    looks: list[tuple[int, float]] = []

    def watch(count: int, points: np.ndarray) -> None:
        if looks and looks[-1][0] == count:
            return
        looks.append((count, landscape.share(points)))
        if len(looks) > 1 and min(looks[-1][1], looks[-2][1]) >= ENOUGH:
            raise Enough

    most = MOST[len(landscape.problem.objectives)]
    checkpoints = [count for count in CHECKPOINTS if count <= most]
    measure = Ledger(landscape.noisy, seed)
    landscape.whole  # noqa: B018 - not on the contestant's clock
    started = time.process_time()
    try:
        stopped = CONTESTANTS[contestant].run(landscape.problem, measure, checkpoints, seed, watch)
    except Enough:
        stopped = "enough"
    except Exception:
        print(f"{landscape.name} seed {seed} {contestant}: failed", flush=True)
        traceback.print_exc()
        return
    seconds = time.process_time() - started
    found = {
        "landscape": landscape.name,
        "seed": seed,
        "contestant": contestant,
        "evaluations": [count for count, _ in looks],
        "share": [share for _, share in looks],
        "stopped": stopped,
        "seconds": seconds,
    }
    place.parent.mkdir(parents=True, exist_ok=True)
    write_text(place, json.dumps(found))
    reached = " ".join(f"{count}:{share:.3f}" for count, share in looks)
    print(f"{landscape.name} seed {seed} {contestant} ({seconds:.1f} s): {reached}", flush=True)


if __name__ == "__main__":
    main()
