"""Hostile and broken inputs by kind: how many were tried, accepted, refused, and how many broke a promise.

    python -m benchmarks.faults.inputs [--share 1.0] [--seed 0]

The inputs are those of `tests/hostile`: every one is used in this process with a limit on its memory and its time,
while all files that are opened and all programs that are started are watched (`tests/hostile/contract.py`).
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from tests.hostile.contract import MEBIBYTES, SECONDS
from tests.hostile.kinds import KINDS, try_inputs

from paretomerge.checkpoints.atomic import write_text

RESULTS = Path(__file__).parents[1] / "results" / "faults" / "inputs.json"


def run(share: float, seed: int) -> dict[str, Any]:
    """Try every kind; one row each."""
    rows = []
    for name, kind in KINDS.items():
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
            found, broken = try_inputs(name, max(1, round(share * kind.count)), Path(folder), seed)
        row = {
            "kind": name,
            "title": kind.title,
            "tried": found.total(),
            "accepted": found["accepted"],
            "refused": found["refused"],
            "broken": len(broken),
            "examples": [line.replace(folder, "…")[:300] for line in broken[:3]],
            "seconds": round(time.perf_counter() - started, 1),
        }
        print(json.dumps(row), file=sys.stderr)
        rows.append(row)
    return {
        "seed": seed,
        "limits": {"seconds": SECONDS, "mebibytes": MEBIBYTES},
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "total": {what: sum(row[what] for row in rows) for what in ("tried", "accepted", "refused", "broken")},
        "kinds": rows,
    }


def main() -> None:
    """Write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the inputs of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    write_text(given.out, json.dumps(run(given.share, given.seed), indent=1) + "\n")


if __name__ == "__main__":
    main()
