"""From recordings to committed results, pictures and `benchmarks/README.md`.

    python -m benchmarks.suite.publish --out DIR
    python -m benchmarks.suite.publish --out DIR --settings digits-conflict --seeds 100 101 --results /tmp/try

Measures are taken anew from the recordings. Settings that DIR does not have keep what is committed. With `--results`
nothing but JSON is written, and that elsewhere.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks import readme
from benchmarks.suite.collect import collect, seed_folders
from benchmarks.suite.figures import draw_figures
from benchmarks.suite.measures import measured
from benchmarks.suite.results import FOLDER, compact, read_results, rounded
from benchmarks.suite.settings import DEFINITIONS
from paretomerge.checkpoints.atomic import write_text


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, collect, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder given to python -m benchmarks.suite")
    parser.add_argument("--settings", nargs="+", choices=list(DEFINITIONS), default=list(DEFINITIONS))
    parser.add_argument("--seeds", type=int, nargs="+", help="those below 100 if not given")
    parser.add_argument("--results", type=Path, help="where to write JSON instead")
    chosen = parser.parse_args(arguments)
    for name in chosen.settings:
        publish(name, chosen.out / name, chosen.seeds, chosen.results or FOLDER)
    if chosen.results is None:
        draw_figures(read_results())
        readme.write()


def publish(name: str, folder: Path, seeds: Sequence[int] | None, results: Path) -> None:
    """One setting, where it has seeds that are described."""
    places = [place for place in seed_folders(folder, seeds) if (place / "description.json").exists()]
    if not places:
        return
    measures = [measured(place) for place in places]
    for place, found in zip(places, measures, strict=True):
        write_text(place / "measures.json", json.dumps(found, indent=1))
    results.mkdir(parents=True, exist_ok=True)
    text = compact(rounded(collect(measures, DEFINITIONS[name].about)))
    write_text(results / f"{name}.json", text + "\n")
    print(f"{name}: {len(places)} seed(s), {len(text) // 1000} kB", flush=True)


if __name__ == "__main__":
    main()
