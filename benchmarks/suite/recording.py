"""What is kept of models: their per-example scores, and what they cost.

One recording is two files, `NAME.npz` (objective → scores `[models, examples]`, and the weightings) and `NAME.json`
(costs and facts); the second is written last, so a recording whose JSON is there is whole.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.suite.setting import Setting
from paretomerge.checkpoints.atomic import write_bytes, write_text
from paretomerge.evaluation import evaluate_one
from paretomerge.types import Objective, Origin, Params, Scores, Split


@dataclass(frozen=True, eq=False)
class Recording:
    """Per-example scores of `N` models.

    Args:
        objectives: what was measured.
        tasks: columns of the weightings.
        weights: `[N, T]`.
        examples: objective's name → `[N, n]`.
        facts: costs, and what the method says of itself.
    """

    objectives: Sequence[Objective]
    tasks: tuple[str, ...]
    weights: np.ndarray
    examples: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]

    def scores(self, metric: str = "loss", origin: Origin = "trained", rows: Sequence[int] | None = None) -> Scores:
        """Means and standard errors; rows are all models unless given."""
        wanted = [objective for objective in self.objectives if objective.metric == metric]
        found = [self.examples[objective.name].astype(np.float64) for objective in wanted]
        values = np.stack([column.mean(axis=1) for column in found], axis=1)
        spread = np.stack([column.std(axis=1, ddof=1) / column.shape[1] ** 0.5 for column in found], axis=1)
        chosen = list(range(len(values)) if rows is None else rows)
        return Scores(self.tasks, self.weights[chosen], values[chosen], spread[chosen], wanted, origin)


def record(
    setting: Setting,
    place: Path,
    weights: np.ndarray,
    models: Iterable[Params],
    facts: Callable[[], Mapping[str, Any]] = dict,
    split: Split = "test",
    finish: Callable[[Params, np.ndarray], Params] | None = None,
) -> None:
    """Score models one after the other and keep what was found.

    Args:
        setting: whose problem, and how forward passes run.
        place: the recording, without suffix.
        weights: `[N, T]`.
        models: `N` of them.
        facts: asked once all models are scored.
        split: whose examples.
        finish: makes a model ready; as the setting says where not given.
    """
    ready = setting.finish if finish is None else finish
    evaluator = setting.evaluator(split)
    rows: list[Mapping[str, np.ndarray]] = []
    with setting.precision():
        for row, model in zip(weights, models, strict=True):
            rows.append(evaluate_one(ready(model, row), evaluator, setting.objectives).examples)
    columns = {o.name: np.stack([one[o.name] for one in rows]).astype(np.float32) for o in setting.objectives}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{"(weights)": weights, **columns})
    place.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(place.with_suffix(".npz"), buffer.getvalue())
    write_text(place.with_suffix(".json"), json.dumps(facts(), indent=1))


def slug(name: str) -> str:
    """A name as a file's."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def recall(setting: Setting, place: Path) -> Recording:
    """Read back what was kept."""
    found = dict(np.load(place.with_suffix(".npz")))
    weights = found.pop("(weights)")
    facts = json.loads(place.with_suffix(".json").read_text())
    return Recording(setting.objectives, setting.tasks, weights, found, facts)
