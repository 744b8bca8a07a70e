"""What measures need to know of a setting's seed, kept beside its recordings: they can be read without building it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.publishing import machine
from benchmarks.suite.setting import Setting
from paretomerge.checkpoints.atomic import write_text
from paretomerge.types import Objective

FILE = "description.json"


@dataclass(frozen=True)
class Description:
    """One seed of one setting.

    Args:
        name: of the setting.
        seed: of everything.
        tasks: columns of weightings.
        objectives: what was measured.
        repeats: joint grids, the first of which is the truth.
        sizes: training steps, weightings, parameters, examples for curvature.
        runs: summed cost of the single finetunes, for every seed of theirs that was trained.
        facts: what the setting says of itself.
        machine: where and with what it was measured.
    """

    name: str
    seed: int
    tasks: tuple[str, ...]
    objectives: tuple[Objective, ...]
    repeats: int
    sizes: Mapping[str, int]
    runs: Sequence[Mapping[str, float]]
    facts: Mapping[str, Any]
    machine: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Description:
        """Of the seed whose folder this is."""
        stored = json.loads((folder / FILE).read_text())
        objectives = tuple(Objective.from_dict(one) for one in stored.pop("objectives"))
        return cls(**{**stored, "tasks": tuple(stored["tasks"]), "objectives": objectives})


def describe(setting: Setting, folder: Path) -> Description:
    """Write down what is known of a setting now."""
    found = Description(
        setting.name,
        setting.seed,
        setting.tasks,
        setting.objectives,
        setting.repeats,
        {
            "weightings": len(setting.weights),
            "repeated": setting.repeated,
            "parameters": sum(tensor.numel() for tensor in setting.base.values()),
            "steps": setting.recipe.steps,
            "curvature_examples": setting.examples,
        },
        trained_runs(setting),
        dict(setting.facts),
        machine(),
    )
    write_text(folder / FILE, json.dumps(asdict(found), indent=1, default=plain))
    return found


def trained_runs(setting: Setting) -> list[dict[str, float]]:
    """What the single finetunes cost, seed by seed, as far as all tasks have been trained."""
    corners = np.eye(len(setting.tasks))
    found = []
    for repeat in count():
        if not all(setting.place(row, repeat).exists() for row in corners):
            return found
        found.append(setting.training_cost(corners, repeat))
    return found


def plain(value: Any) -> Any:
    """Numbers and arrays of numpy as JSON knows them; anything else by its name."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
