"""All measures of one seed: the floor, the grid's cost, and every method that is recorded."""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.suite.measures.costs import at_grid, costs, grid_cost, joint_volumes, start_of
from benchmarks.suite.measures.description import Description, describe, plain
from benchmarks.suite.measures.floor import floor
from benchmarks.suite.measures.fronts import as_many, fronts
from benchmarks.suite.measures.predicted import predicted
from benchmarks.suite.measures.previews import previews
from benchmarks.suite.measures.recalibration import recalibration
from benchmarks.suite.measures.regret import regret
from benchmarks.suite.measures.truth import LOSS, Truth, remembered
from benchmarks.suite.recording import Recording, recall
from benchmarks.suite.setting import Setting
from benchmarks.suite.uncertainty import uncertainty

UNCERTAINTY = "uncertainty: "
"""Before the names of what searches said of their points."""
LONG = ("predictions", "predicted")
"""Facts that recordings keep and results do not."""


def measure(setting: Setting, folder: Path) -> dict[str, Any]:
    """All measures of all methods that are recorded, after noting what is known of the setting."""
    describe(setting, folder)
    return measured(folder)


def measured(folder: Path) -> dict[str, Any]:
    """From the files of one seed alone. A method that cannot be measured is said to have failed, and why."""
    description = Description.read(folder)
    truth = remembered(description, folder)
    grid = grid_cost(truth)
    methods = {}
    for place in sorted((folder / "methods").glob("*.json")):
        facts = json.loads(place.read_text())
        try:
            numbers = of_method(recall(description, place), truth, description, grid)
            failed = {}
        except Exception as error:  # one broken recording must not hide all others
            traceback.print_exc()
            numbers, failed = {}, {"failed": f"{type(error).__name__}: {error}"}
        short = {name: value for name, value in facts["found"].items() if name not in LONG}
        kept = {name: facts[name] for name in ("kind", "factors", "runs")}
        methods[facts["name"]] = {**kept, "facts": short, "measures": numbers, **failed}
    for name, one in methods.items():
        start = start_of(name, one["factors"])
        if start and one["measures"]:
            first = methods.get(start, {}).get("measures") or None
            one["measures"] |= at_grid(one["measures"], first, len(truth.joint.weights), grid)
    failures = [json.loads(file.read_text()) for file in sorted((folder / "failures").glob("*.json"))]
    similarity = folder / "truth" / "similarity.json"
    return {
        "description": json.loads(json.dumps(asdict(description), default=plain)),
        "similarity": json.loads(similarity.read_text()) if similarity.exists() else {},
        "floor": floor(truth),
        "grid": {**grid, "joint_volumes": joint_volumes(truth)},
        "methods": methods,
        "failures": {one["name"]: one["error"] for one in failures},
    }


def of_method(found: Recording, truth: Truth, description: Description, grid: Mapping[str, float]) -> dict[str, float]:
    """Name → number. Previews are compared weighting by weighting and as fronts, fronts only as such."""
    if broken(found):
        raise ValueError(f"{broken(found)} of {len(found.weights)} models have scores that are no numbers")
    spent = costs(found, description.runs, grid)
    if found.facts["kind"] == "front":
        said = uncertainty([found], ranges(truth))
        compared = {**fronts(found, truth), **as_many(found, truth)}
        return {**compared, "models": len(found.weights), **spent, **prefixed(said)}
    used = set(found.facts["found"].get("trained_rows", ()))
    rows = [row for row in range(len(found.weights)) if row not in used]
    return {
        **previews(found, truth, rows),
        **fronts(found, truth),
        **regret(found, truth),
        **predicted(found, truth, rows),
        **recalibration(found, truth),
        **spent,
    }


def ranges(truth: Truth) -> dict[str, float]:
    """Objective → width of the true front, single finetunes included."""
    values = [one.scores(LOSS).values for one in (truth.joint, truth.corners)]
    widths = np.ptp(np.concatenate(values), axis=0)
    names = [objective.name for objective in truth.joint.objectives if objective.metric == LOSS]
    return dict(zip(names, widths.tolist(), strict=True))


def prefixed(numbers: Mapping[str, float]) -> dict[str, float]:
    """What belongs together and is put together otherwise than by means over seeds."""
    return {f"{UNCERTAINTY}{name}": value for name, value in numbers.items()}


def broken(found: Recording) -> int:
    """Models with a score that is none."""
    good = [np.isfinite(column).all(axis=1) for column in found.examples.values()]
    return int((~np.all(good, axis=0)).sum())
