"""Measured or predicted scores of models, with standard errors and where they came from.

Shapes: `N` models, `T` tasks, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from paretomerge.errors import DataError
from paretomerge.types.objectives import Objective

Origin = Literal["predicted", "merged", "trained"]
ORIGINS: tuple[Origin, ...] = ("predicted", "merged", "trained")


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores `[N, M]` at weightings `[N, T]`; a preview is never mistaken for a measurement.

    Args:
        tasks: the `T` task names, the order of the columns of `weights`.
        weights: `[N, T]`.
        values: `[N, M]`, in each objective's own unit and direction.
        stderr: `[N, M]`, standard errors; zeros when the value is exact.
        objectives: the `M` objectives.
        origin: `[N]` of `"predicted"` (a surrogate's value), `"merged"` (a merged model's measured score)
            or `"trained"` (a jointly finetuned model's); one word for all is enough.

    Raises:
        DataError: shapes that disagree, values that are not finite, an unknown origin.
    """

    tasks: tuple[str, ...]
    weights: np.ndarray
    values: np.ndarray
    stderr: np.ndarray
    objectives: tuple[Objective, ...]
    origin: tuple[Origin, ...]

    def __post_init__(self) -> None:
        """Check and freeze."""
        set_ = object.__setattr__
        set_(self, "tasks", tuple(self.tasks))
        set_(self, "objectives", tuple(self.objectives))
        weights = _checked_weights(self.weights, self.tasks)
        count = len(weights)
        values = _checked(self.values, (count, len(self.objectives)), "values")
        stderr = _checked(self.stderr, (count, len(self.objectives)), "stderr")
        if (stderr < 0).any():
            raise DataError("standard errors are negative")
        origin = (self.origin,) * count if isinstance(self.origin, str) else tuple(self.origin)
        unknown = [word for word in origin if word not in ORIGINS]
        if unknown or len(origin) != count:
            raise DataError(f"origin must be one of {', '.join(ORIGINS)} for each of {count} models, got {origin[:3]}…")
        for name, array in (("weights", weights), ("values", values), ("stderr", stderr)):
            array.setflags(write=False)
            set_(self, name, array)
        set_(self, "origin", origin)

    def __len__(self) -> int:
        """`N`, the number of models."""
        return len(self.values)

    def take(self, rows: Sequence[int] | np.ndarray) -> Scores:
        """The scores of some of the models."""
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(int)
        origin = tuple(self.origin[int(i)] for i in index)
        return Scores(self.tasks, self.weights[index], self.values[index], self.stderr[index], self.objectives, origin)

    def select(self, metric: str) -> Scores:
        """The scores of the objectives with this metric (for example every task's `"loss"`)."""
        keep = [i for i, objective in enumerate(self.objectives) if objective.metric == metric]
        if not keep:
            known = sorted({objective.metric for objective in self.objectives})
            raise DataError(f"no objective has the metric {metric!r}; the metrics are {', '.join(known)}")
        objectives = tuple(self.objectives[i] for i in keep)
        return Scores(self.tasks, self.weights, self.values[:, keep], self.stderr[:, keep], objectives, self.origin)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return {
            "tasks": list(self.tasks),
            "objectives": [asdict(objective) for objective in self.objectives],
            "weights": self.weights.tolist(),
            "values": self.values.tolist(),
            "stderr": self.stderr.tolist(),
            "origin": list(self.origin),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Scores:
        """The inverse of `as_dict`."""
        objectives = tuple(Objective.from_dict(objective) for objective in stored["objectives"])
        shape = (-1, len(objectives))
        return cls(
            tuple(stored["tasks"]),
            np.array(stored["weights"], dtype=np.float64),
            np.array(stored["values"], dtype=np.float64).reshape(shape),
            np.array(stored["stderr"], dtype=np.float64).reshape(shape),
            objectives,
            tuple(stored["origin"]),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Scores]) -> Scores:
        """Several sets of scores of the same objectives, one after the other."""
        first = parts[0]
        if any(part.objectives != first.objectives or part.tasks != first.tasks for part in parts):
            raise DataError("scores of different objectives or tasks cannot be concatenated")
        return cls(
            first.tasks,
            np.concatenate([part.weights for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.stderr for part in parts]),
            first.objectives,
            tuple(word for part in parts for word in part.origin),
        )


def _checked_weights(weights: Any, tasks: tuple[str, ...]) -> np.ndarray:
    array = np.array(weights, dtype=np.float64)
    if array.size and array.shape[-1] != len(tasks):
        raise DataError(f"weights have shape {list(array.shape)}, expected [N, {len(tasks)}] (models × tasks)")
    return _checked(array.reshape(-1, len(tasks)), (array.size // len(tasks), len(tasks)), "weights")


def _checked(values: Any, shape: tuple[int, int], what: str) -> np.ndarray:
    array = np.array(values, dtype=np.float64)
    if array.shape != shape:
        raise DataError(f"{what} have shape {list(array.shape)}, expected {list(shape)} (models × objectives)")
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise DataError(
            f"{what} contain {array[row, column]} (model {row}, objective {column}): a diverged model or a broken "
            "evaluator; leave that model out or fix the evaluator"
        )
    return array
