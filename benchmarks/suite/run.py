"""Runs settings: trains what is missing, records every method's models, measures.

    python -m benchmarks.suite digits-conflict --out DIR              # all seeds of the setting; again continues
    python -m benchmarks.suite sentiment --out DIR --seeds 0 --only 'averaging|default'
    python -m benchmarks.suite all --out DIR --smoke                  # minutes: everything once, as small as it gets

Trainings and recordings are files in DIR, so an interrupted run continues with the same command, and several processes
may share DIR as long as each has settings or seeds of its own. `python -m benchmarks.suite.publish --out DIR` writes
the results and the pages.
"""

from __future__ import annotations

import argparse
import json
import re
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.suite.measures import measure
from benchmarks.suite.methods import Found, Method, NotHere, Stopwatch, methods_of
from benchmarks.suite.recording import record, slug
from benchmarks.suite.setting import Definition, Setting, unchanged
from benchmarks.suite.settings import DEFINITIONS
from benchmarks.suite.similarity import similarity_of
from paretomerge.checkpoints.atomic import write_text
from paretomerge.types import Params


def main(arguments: Sequence[str] | None = None) -> int:
    """Run settings; the number of methods that failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="+", choices=[*DEFINITIONS, "all"], metavar="SETTING", help="a name, or all")
    parser.add_argument("--out", type=Path, required=True, help="folder of trainings, recordings and measures")
    parser.add_argument("--assets", type=Path, help="folder of packages with models and data; OUT/assets if not given")
    parser.add_argument("--seeds", type=int, nargs="+", help="those of the setting if not given")
    parser.add_argument("--only", default="", help="regular expression on the names of methods")
    parser.add_argument("--smoke", action="store_true", help="as small as still runs through everything; one seed")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    quieten()
    names = list(DEFINITIONS) if "all" in chosen.settings else chosen.settings
    failed = 0
    for definition in (DEFINITIONS[name] for name in names):
        for seed in chosen.seeds or (definition.seeds[:1] if chosen.smoke else definition.seeds):
            assets = chosen.assets or chosen.out / "assets"
            failed += run_seed(definition, chosen.out, assets, seed, chosen.smoke, chosen.only)
    return failed


def quieten() -> None:
    """A model that is built a thousand times need not say each time what its file holds."""
    try:
        from transformers.utils import logging
    except ImportError:
        return
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def run_seed(definition: Definition, out: Path, assets: Path, seed: int, smoke: bool = False, only: str = "") -> int:
    """Everything of one seed; the number of methods that failed."""
    folder = out / definition.name / f"seed{seed}{'-smoke' if smoke else ''}"
    setting = definition.build(folder, assets, seed, smoke)
    record_truth(setting, folder)
    failed = int(not record_similarity(setting, folder))
    for method in methods_of(definition.methods, smoke):
        if re.search(only, method.name) and not place_of(folder, method.name).with_suffix(".json").exists():
            failed += not run_method(setting, folder, method)
    write_text(folder / "measures.json", json.dumps(measure(setting, folder), indent=1))
    return failed


def record_truth(setting: Setting, folder: Path) -> None:
    """The base, the corners and the joint grids; those of further seeds are the noise floor."""
    count = len(setting.tasks)
    base = folder / "truth" / "base"
    if not base.with_suffix(".json").exists():
        record(setting, base, np.full((1, count), 1 / count), [setting.base], finish=unchanged)
    for repeat in range(setting.repeats):
        ending = f"-{repeat}" if repeat else ""
        for name, rows in (("corners", np.eye(count)), ("joint", setting.repeated_weights(repeat))):
            place = folder / "truth" / f"{name}{ending}"
            if len(rows) and not place.with_suffix(".json").exists():
                models = (setting.train(row, repeat) for row in rows)
                cost = partial(setting.training_cost, rows, repeat)
                record(setting, place, rows, models, cost, finish=unchanged)


def record_similarity(setting: Setting, folder: Path) -> bool:
    """How alike the tasks are; whether that could be said."""
    place = folder / "truth" / "similarity.json"
    if place.exists():
        return True
    try:
        write_text(place, json.dumps(similarity_of(setting, folder), indent=1))
    except Exception:
        print(f"{setting.name} seed {setting.seed}  similarity: failed", flush=True)
        traceback.print_exc()
        return False
    return True


def run_method(setting: Setting, folder: Path, method: Method) -> bool:
    """Find, score, keep; whether it went well or was skipped with a reason."""
    started = time.perf_counter()
    noted = folder / "failures" / f"{slug(method.name)}.json"
    try:
        setting.runs(method.runs)  # trained, and paid for, outside the method's own time
        watch = Stopwatch()
        with setting.precision():
            found = method.find(setting)
        metered = Metered(found.models, watch.seconds + found.core_seconds)
        known = {
            "name": method.name,
            "kind": method.kind,
            "factors": dict(method.factors),
            "runs": method.runs,
        }

        def facts() -> dict[str, Any]:
            cost = {**asdict(found.cost), "core_seconds": metered.seconds}
            return {**known, "found": {**found.facts, **checked(found)}, "cost": cost}

        record(setting, place_of(folder, method.name), found.weights, metered, facts)
    except NotHere as reason:
        print(f"{setting.name} seed {setting.seed}  {method.name}: skipped, {reason}", flush=True)
        return True
    except Exception as error:
        print(f"{setting.name} seed {setting.seed}  {method.name}: failed", flush=True)
        traceback.print_exc()
        said = {"name": method.name, "error": f"{type(error).__name__}: {error}"}
        noted.parent.mkdir(parents=True, exist_ok=True)
        write_text(noted, json.dumps(said, indent=1))
        return False
    noted.unlink(missing_ok=True)
    print(f"{setting.name} seed {setting.seed}  {method.name}: {time.perf_counter() - started:.0f} s", flush=True)
    return True


def checked(found: Found) -> dict[str, Any]:
    """What the method's checks say; one that fails costs no more than what it would have said."""
    try:
        return dict(found.checks())
    except Exception as error:
        traceback.print_exc()
        return {"checks_failed": f"{type(error).__name__}: {error}"}


class Metered:
    """Models one at a time, and the core-seconds that making them took.

    Scoring on test data is not the method's cost.
    """

    def __init__(self, models: Iterable[Params], seconds: float) -> None:
        """With what was spent before the first."""
        self._models, self.seconds = models, seconds

    def __iter__(self) -> Iterator[Params]:
        """The models, timed."""
        source = iter(self._models)
        while True:
            watch = Stopwatch()
            model = next(source, None)
            self.seconds += watch.seconds
            if model is None:
                return
            yield model


def place_of(folder: Path, name: str) -> Path:
    """Where a method's recording is, without suffix."""
    return folder / "methods" / slug(name)
