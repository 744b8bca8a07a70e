"""How alike the tasks of a setting are, before anything is merged: what errors of previews are held against.

In parameters the cosines of task vectors `θ_t - θ_0` and how far the finetunes went; in gradients the cosines of the
tasks' mean gradients at the base, where all finetunes begin, and at the average of the finetunes, where merges land;
in losses what one task's finetuning does for another.

Shapes: `T` tasks. Gradients are of training examples, as many as curvature sees; losses are of the test recordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.suite.recording import recall
from benchmarks.suite.setting import Setting
from paretomerge.checkpoints import align
from paretomerge.curvature import LossModel, average, loss_gradient
from paretomerge.diagnoses import task_vector_overlaps, transfers_of
from paretomerge.types import Params, Problem


def similarity_of(setting: Setting, folder: Path) -> dict[str, Any]:
    """Everything about one seed, as plain JSON; what is undefined is `None`.

    Args:
        setting: whose finetunes.
        folder: of the seed; the base and the corners must have been recorded there.

    Returns:
        `tasks`; `task_vectors`: `cosine [T, T]`, `opposed [T, T]` (the share of the overlap that opposes, a half for
        unrelated vectors); `distance [T]`: `‖θ_t - θ_0‖ / ‖θ_0‖` of tensors with two axes or more; `gradients`:
        at `base` and `average` the `cosine [T, T]` and the `norm [T]`, `None` without a likelihood; `transfer [T, T]`,
        from row to column (see `paretomerge.diagnoses`); `summary`: means over pairs, and the least transfer.
    """
    overlaps = task_vector_overlaps(setting.base, setting.finetunes)
    vectors = {name: _paired(setting.tasks, overlaps, name) for name in ("cosine", "opposed")}
    distances = [one.relative_distance for one in align(setting.base, setting.finetunes).tasks]
    gradients = None
    if setting.problem.loss_fn is None:
        count = len(setting.tasks)
        averaged = setting.finish(average(setting.finetunes), np.full(count, 1 / count))
        points = {"base": setting.base, "average": averaged}
        with setting.precision():
            gradients = {at: conflict_of(setting.problem, point, setting.examples) for at, point in points.items()}
    base, corners = (recall(setting, folder / "truth" / name).scores().values for name in ("base", "corners"))
    transfer = transfers_of(corners, base[0])
    found = {"tasks": list(setting.tasks), "task_vectors": vectors, "distance": distances, "gradients": gradients}
    return _plain({**found, "transfer": transfer, "summary": _summary(vectors, distances, gradients, transfer)})


def conflict_of(problem: Problem, point: Params, examples: int) -> dict[str, np.ndarray]:
    """Cosines `[T, T]` and norms `[T]` of the tasks' mean gradients at one place."""
    model = LossModel.of(problem.build(), problem.likelihood)
    gradients = [
        loss_gradient(model, point, problem.batches(task, "training"), examples).gradient for task in problem.tasks
    ]
    gram = gram_of(gradients)
    norms = np.sqrt(np.diagonal(gram))
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"cosine": gram / np.outer(norms, norms), "norm": norms}


def gram_of(vectors: Sequence[Mapping[str, Tensor]]) -> np.ndarray:
    """Inner products `[T, T]`, one tensor at a time in double precision."""
    gram = torch.zeros(len(vectors), len(vectors), dtype=torch.float64)
    for name in vectors[0]:
        rows = torch.stack([vector[name].flatten() for vector in vectors]).to(torch.float64)
        gram += rows @ rows.T
    return gram.numpy()


def _paired(tasks: Sequence[str], found: Mapping[tuple[str, str], Any], name: str) -> np.ndarray:
    """`[T, T]` from what is known of each pair; a task with itself is at cosine one, and opposes nothing."""
    table = np.eye(len(tasks)) if name == "cosine" else np.zeros((len(tasks), len(tasks)))
    for i, j in combinations(range(len(tasks)), 2):
        table[i, j] = table[j, i] = getattr(found[tasks[i], tasks[j]], name)
    return table


def _summary(
    vectors: Mapping[str, np.ndarray],
    distances: Sequence[float | None],
    gradients: Mapping[str, Mapping[str, np.ndarray]] | None,
    transfer: np.ndarray,
) -> dict[str, float | None]:
    """One number of each kind, for plots over settings."""
    others = ~np.eye(len(transfer), dtype=bool)
    return {
        **{f"task_vector_{name}": float(table[others].mean()) for name, table in vectors.items()},
        "distance": float(np.mean([far for far in distances if far is not None] or [np.nan])),
        **{
            f"gradient_cosine_{at}": None if gradients is None else float(gradients[at]["cosine"][others].mean())
            for at in ("base", "average")
        },
        "transfer": float(transfer[others].mean()),
        "least_transfer": float(transfer[others].min()),
    }


def _plain(value: Any) -> Any:
    """Lists and numbers; `None` for what is not finite, which JSON has no word for."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value
