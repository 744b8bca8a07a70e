"""Measured or predicted scores of models, with standard errors and where they came from.

Shapes: `N` models, `T` tasks, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from paretomerge.errors import DataError
from paretomerge.types.objectives import Objective
from paretomerge.types.summaries import counted, summarise

if TYPE_CHECKING:
    from pandas import DataFrame

Origin = Literal["predicted", "merged", "trained"]
ORIGINS: tuple[Origin, ...] = ("predicted", "merged", "trained")


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores `[N, M]` at weightings `[N, T]`; a preview is never mistaken for a measurement.

    Args:
        tasks: names of the columns of `weights`: the `T` tasks, or the coordinates of another `Domain`.
        weights: `[N, T]`.
        values: `[N, M]`, in each objective's own unit and direction.
        stderr: `[N, M]`, standard errors; zeros when the value is exact.
        objectives: the `M` objectives.
        origin: `[N]` of `"predicted"` (a surrogate's value), `"merged"` (a merged model's measured score)
            or `"trained"` (a jointly finetuned model's); one word for all is enough.
        shared: `[M, N, N]`, the part of the errors' covariance that models share because they were scored on the same
            examples: the errors of their differences are smaller than `stderr` says. `None` when errors are
            independent. The diagonal is at most `stderr²`; what is left of that is each score's own noise.

    Raises:
        DataError: shapes that disagree, values that are not finite, an unknown origin.
    """

    tasks: tuple[str, ...]
    weights: np.ndarray
    values: np.ndarray
    stderr: np.ndarray
    objectives: tuple[Objective, ...]
    origin: tuple[Origin, ...]
    shared: np.ndarray | None = None

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
        if self.shared is not None:
            set_(self, "shared", _checked_shared(self.shared, stderr))
        set_(self, "origin", origin)

    def __len__(self) -> int:
        """`N`, the number of models."""
        return len(self.values)

    def __repr__(self) -> str:
        """How many models, where their scores come from, and the range of every objective."""
        return summarise(self, f"Scores of {counted(len(self), 'model')}")

    @property
    def own_variance(self) -> np.ndarray:
        """`[N, M]`, the variance of each score's own noise: what is not shared with other models."""
        if self.shared is None:
            return self.stderr**2
        return np.maximum(self.stderr**2 - np.einsum("mnn->nm", self.shared), 0.0)

    def take(self, rows: Sequence[int] | np.ndarray) -> Scores:
        """The scores of some of the models."""
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(int)
        origin = tuple(self.origin[int(i)] for i in index)
        shared = None if self.shared is None else self.shared[:, index[:, None], index]
        return Scores(
            self.tasks,
            self.weights[index],
            self.values[index],
            self.stderr[index],
            self.objectives,
            origin,
            shared,
        )

    def columns(self, keep: Sequence[int]) -> Scores:
        """The scores of some of the objectives, by number."""
        kept = list(keep)
        objectives = tuple(self.objectives[i] for i in kept)
        shared = None if self.shared is None else self.shared[kept]
        return Scores(
            self.tasks, self.weights, self.values[:, kept], self.stderr[:, kept], objectives, self.origin, shared
        )

    def named(self, names: Sequence[str]) -> Scores:
        """The scores of the objectives with these names, in this order.

        Raises:
            ValueError: a name that no objective has.
        """
        known = [objective.name for objective in self.objectives]
        return self.columns([known.index(name) for name in names])

    def select(self, metric: str) -> Scores:
        """The scores of the objectives with this metric (for example every task's `"loss"`)."""
        keep = [i for i, objective in enumerate(self.objectives) if objective.metric == metric]
        if not keep:
            known = sorted({objective.metric for objective in self.objectives})
            raise DataError(f"no objective has the metric {metric!r}; the metrics are {', '.join(known)}")
        return self.columns(keep)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return {
            "tasks": list(self.tasks),
            "objectives": [asdict(objective) for objective in self.objectives],
            "weights": self.weights.tolist(),
            "values": self.values.tolist(),
            "stderr": self.stderr.tolist(),
            "origin": list(self.origin),
            **({} if self.shared is None else {"shared": self.shared.tolist()}),
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
            np.array(stored["shared"]) if stored.get("shared") is not None else None,
        )

    def to_pandas(self) -> DataFrame:
        """A table with one row per model.

        Its columns are `weight[TASK]` for every task, `value[OBJECTIVE]` and `stderr[OBJECTIVE]` for every
        objective, and `origin`. What models share of their errors (`shared`) is not in it.

        Raises:
            DataError: two objectives of one name.
            MissingExtraError: pandas is not installed.
        """
        from paretomerge.types.frames import to_frame

        return to_frame(self)

    @classmethod
    def from_pandas(cls, frame: DataFrame, objectives: Sequence[Objective]) -> Scores:
        """The inverse of `to_pandas`, also for some of its rows.

        Args:
            frame: with the columns of `to_pandas`; a missing `stderr[OBJECTIVE]` counts as exact.
            objectives: what the values are, which a table cannot say; also which of them are taken.

        Raises:
            DataError: columns that are missing, or numbers that are no scores.
        """
        from paretomerge.types.frames import from_frame

        return from_frame(frame, objectives)

    @classmethod
    def concatenate(cls, parts: Sequence[Scores]) -> Scores:
        """Several sets of scores of the same objectives, one after the other.

        What models of different sets share of their errors is not known: it counts as nothing.
        """
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
            _block_diagonal(parts),
        )


def _block_diagonal(parts: Sequence[Scores]) -> np.ndarray | None:
    if all(part.shared is None for part in parts):
        return None
    counts = np.cumsum([0, *(len(part) for part in parts)])
    shared = np.zeros((len(parts[0].objectives), counts[-1], counts[-1]))
    for part, start, end in zip(parts, counts, counts[1:], strict=False):
        if part.shared is not None:
            shared[:, start:end, start:end] = part.shared
    return shared


def _checked_weights(weights: Any, tasks: tuple[str, ...]) -> np.ndarray:
    array = np.array(weights, dtype=np.float64)
    if array.size and array.shape[-1] != len(tasks):
        raise DataError(f"weights have shape {list(array.shape)}, expected [N, {len(tasks)}] (models × tasks)")
    return _checked(array.reshape(-1, len(tasks)), (array.size // len(tasks), len(tasks)), "weights")


def _checked_shared(shared: Any, stderr: np.ndarray) -> np.ndarray:
    count, objectives = stderr.shape
    array = np.array(shared, dtype=np.float64) if count else np.zeros((objectives, 0, 0))
    if array.shape != (objectives, count, count) or not np.isfinite(array).all():
        raise DataError(
            f"shared covariances have shape {list(np.shape(shared))}, expected {[objectives, count, count]} finite "
            "numbers (objectives × models × models)"
        )
    if np.abs(array - array.transpose(0, 2, 1)).max(initial=0.0) > 1e-9 * np.abs(array).max(initial=0.0):
        raise DataError("shared covariances are not symmetric")
    if (np.einsum("mnn->nm", array) > stderr**2 * (1 + 1e-6) + 1e-300).any():
        raise DataError("a score shares more error with others than it has (stderr): give the covariance of means")
    array.setflags(write=False)
    return array


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
