"""Publishes the results of `examples/sentiment/run.py`: JSON with the machine, and the table in `benchmarks/README.md`.

python examples/sentiment/run.py --out DIR      # about an hour on one core
python -m benchmarks.sentiment --out DIR
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.publishing import machine, write_section

HERE = Path(__file__).parent
COLUMNS = ("loss error", "× averaging", "× floor", "bias", "accuracy error", "scalarised loss", "ridge", "seconds")


def main() -> None:
    """Read, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the example's run")
    results = {**machine(), **json.loads((parser.parse_args().out / "results.json").read_text())}
    (HERE / "results" / "sentiment.json").write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))
    write_section(HERE / "README.md", "sentiment", table(results))


def table(results: dict[str, Any]) -> str:
    """The markdown table; the noise floor last."""
    floor, *rows = results["methods"]
    lines = [f"| method | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row in (*rows, floor):
        strength, seconds = row.get("strength"), row.get("seconds")
        lines.append(
            f"| {row['name']} | {row['loss_error']:.4f} | {row['ratio_to_averaging']:.2f} "
            f"| {row['loss_error'] / floor['loss_error']:.1f} | {row['loss_bias']:+.4f} | {row['accuracy_error']:.4f} "
            f"| {row['scalarised_loss']:.4f} | {'' if strength is None else f'{strength:g}'} "
            f"| {'' if seconds is None else f'{seconds:.0f}'} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
