"""What a merge costs, beside mergekit, beside a copy in memory, and beside raw reading and writing.

    python -m benchmarks.merge.run --folder DIR [--mergekit VENV/bin/mergekit-yaml]

Makes checkpoints in DIR (about 12 GB with the large merge), measures, and writes `benchmarks/results/merge.json` and
the tables in `benchmarks/README.md`. mergekit lives in an environment of its own:
`pip install torch==2.13.0 && pip install mergekit==0.1.5`. On a machine with a GPU the resident merges are measured
there too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from benchmarks.merge.in_memory import measure_in_memory
from benchmarks.merge.models import make_models
from benchmarks.merge.on_disk import METHODS, compare_with_mergekit, end_to_end, large_merge
from benchmarks.publishing import machine, write_section

HERE = Path(__file__).parent

RESULTS = HERE.parent / "results" / "merge.json"
PARTS = ("memory", "mergekit", "end-to-end", "large")


def main() -> None:
    """Measure the chosen parts; those of earlier runs are kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--mergekit", type=Path, help="the mergekit-yaml command")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--parameters", type=int, default=100_000_000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = json.loads(chosen.results.read_text()) if chosen.results.exists() else {}
    found |= {**machine(), "torch_threads": torch.get_num_threads()}
    for part in chosen.parts:
        print(f"{part} …", flush=True)
        found[part] = _measure(part, chosen)
        chosen.results.write_text(json.dumps(found, indent=2) + "\n")
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
        found["memory on the GPU"] = measure_in_memory(chosen.parameters, chosen.parameters // 4, 20, "cuda")
        chosen.results.write_text(json.dumps(found, indent=2) + "\n")
    if chosen.results == RESULTS:
        write_section(HERE.parent / "README.md", "merge", tables(found))
    print(tables(found))


def _measure(part: str, chosen: argparse.Namespace) -> dict[str, Any]:
    if part == "memory":
        return measure_in_memory(chosen.parameters, chosen.parameters // 12, 3 * chosen.repeats)
    if part == "large":
        return large_merge(make_models(chosen.folder / "large-models", 16, 2048, 2, 64_000), chosen.folder)
    models = make_models(chosen.folder / "models", 18, 1024, 4)
    if part == "end-to-end":
        return end_to_end(models, chosen.folder, chosen.repeats)
    return compare_with_mergekit(models, chosen.folder, chosen.mergekit, chosen.repeats)


def tables(found: dict[str, Any]) -> str:
    """The numbers as Markdown."""
    lines: list[str] = []
    if "mergekit" in found:
        lines += [
            "| 297 M parameters, bfloat16, base + 4 finetunes | CPU s | mergekit CPU s | ratio | wall s "
            "| mergekit wall s | private MB | mergekit private MB |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for method in ("start-up", *METHODS):
            ours, theirs = found["mergekit"][method]["paretomerge"], found["mergekit"][method].get("mergekit")
            ratio = theirs["cpu"] / ours["cpu"] if theirs else float("nan")
            other = theirs or dict.fromkeys(("cpu", "wall", "private_mb"), "")
            lines.append(
                f"| {method} | {ours['cpu']} | {other['cpu']} | {ratio:.1f} | {ours['wall']} | {other['wall']} "
                f"| {ours['private_mb']} | {other['private_mb']} |"
            )
        lines.append("")
    for part in ("memory", "memory on the GPU"):
        if part in found:
            memory = found[part]
            swept = f"{memory['weightings']} weightings of {memory['swept']:,}"
            lines += [
                f"In {part}, 4 tasks, float32: the traffic of the inputs and the output as a fraction of what a copy "
                "reaches.",
                "",
                f"| | averaging {memory['parameters']:,} | diagonal merge of {memory['parameters']:,} | {swept} "
                "| copy, GB/s |",
                "|---|---|---|---|---|",
            ]
            for name, row in memory.items():
                if isinstance(row, dict):
                    cells = [f"{row[what]['fraction_of_copy']:.2f}" for what in ("averaging", "diagonal", "sweep")]
                    lines.append(f"| {name} | {' | '.join(cells)} | {row['copy_gb_per_second']:.0f} |")
            lines.append("")
    if "end-to-end" in found:
        lines += [
            f"From page cache to disk, averaging reaches {found['end-to-end']['fraction_of_raw']:.2f} of the speed of "
            "reading and writing the same bytes.",
            "",
        ]
    if "large" in found:
        large = found["large"]
        lines += [
            f"Task arithmetic of {large['bytes_read'] / 1e9:.1f} GB of inputs took {large['private_mb']} MB of private "
            f"memory (bound: {large['bound_mb']} MB) and {large['wall']} s.",
            "",
        ]
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    main()
