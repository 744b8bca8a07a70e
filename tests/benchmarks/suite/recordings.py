"""Recordings that no model made: scores with known means, as files of one seed."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.suite.measures import Description
from paretomerge.types import Objective

TASKS = ("left", "right")
WEIGHTS = np.array([[0.5, 0.5], [0.75, 0.25], [0.25, 0.75], [0.625, 0.375], [0.375, 0.625]])
LOSSES = np.array([[0.5, 0.5], [0.3, 0.8], [0.8, 0.3], [0.4, 0.62], [0.62, 0.4]])
CORNERS = np.array([[0.1, 2.0], [2.0, 0.1]])
EXAMPLES = 40
COST = {"trainings": 0, "gradient_passes": 100, "evaluations": 3, "core_seconds": 1.0}


def objectives(tasks: Sequence[str] = TASKS) -> tuple[Objective, ...]:
    """Losses, then accuracies."""
    return (
        *(Objective(f"loss[{task}]", "minimise", "nats", (0.0, None), task, "loss") for task in tasks),
        *(Objective(f"accuracy[{task}]", "maximise", "", (0.0, 1.0), task, "accuracy") for task in tasks),
    )


def write_seed(
    folder: Path,
    repeats: Sequence[np.ndarray] = (LOSSES + 0.02,),
    losses: np.ndarray = LOSSES,
    weights: np.ndarray = WEIGHTS,
    corners: np.ndarray = CORNERS,
    name: str = "synthetic",
    seed: int = 0,
) -> Path:
    """The truth of one seed, and what is known of it."""
    tasks = TASKS if weights.shape[1] == 2 else tuple(f"task{number}" for number in range(weights.shape[1]))
    count = len(tasks)
    ten = {"trainings": len(weights), "gradient_passes": 1000 * len(weights), "core_seconds": 10.0 * len(weights)}
    ends = {"trainings": count, "gradient_passes": 1000 * count, "core_seconds": 10.0 * count}
    write(folder / "truth" / "joint", tasks, weights, losses, ten)
    write(folder / "truth" / "corners", tasks, np.eye(count), corners, ends)
    for number, again in enumerate(repeats, 1):
        write(folder / "truth" / f"joint-{number}", tasks, weights[: len(again)], again, ten)
    sizes = {"weightings": len(weights), "repeated": len(weights), "parameters": 7, "steps": 9, "curvature_examples": 5}
    known = Description(
        name, seed, tasks, objectives(tasks), 1 + len(repeats), sizes, [ends, ends], {"small": True}, {"python": "3"}
    )
    (folder / "description.json").write_text(json.dumps(asdict(known)))
    return folder


def write_method(
    folder: Path,
    losses: np.ndarray,
    name: str = "default",
    weights: np.ndarray = WEIGHTS,
    kind: str = "preview",
    found: Mapping[str, Any] | None = None,
    factors: Mapping[str, Any] | None = None,
    runs: int = 1,
    cost: Mapping[str, float] = COST,
) -> None:
    """One method's models."""
    tasks = TASKS if weights.shape[1] == 2 else tuple(f"task{number}" for number in range(weights.shape[1]))
    facts = {
        "name": name,
        "kind": kind,
        "factors": dict(factors or {}),
        "runs": runs,
        "found": dict(found or {}),
        "cost": dict(cost),
    }
    slug = "".join(letter if letter.isalnum() else "-" for letter in name)
    write(folder / "methods" / slug, tasks, weights, losses, facts)


def write(place: Path, tasks: Sequence[str], weights: np.ndarray, losses: np.ndarray, facts: Mapping[str, Any]) -> None:
    """Per-example scores with exactly these mean losses; accuracies are `1 - loss / 4`."""
    spread = np.linspace(-0.01, 0.01, EXAMPLES)
    columns = {}
    for task, column in zip(tasks, losses.T, strict=True):
        columns[f"loss[{task}]"] = column[:, None] + spread
        columns[f"accuracy[{task}]"] = 1 - column[:, None] / 4 + 0 * spread
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{"(weights)": weights, **columns})
    place.parent.mkdir(parents=True, exist_ok=True)
    place.with_suffix(".npz").write_bytes(buffer.getvalue())
    place.with_suffix(".json").write_text(json.dumps(facts))
