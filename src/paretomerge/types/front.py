"""A Pareto front: mutually non-dominated points, each with the weighting that reaches it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import moocore
import numpy as np

from paretomerge.errors import DataError
from paretomerge.types.objectives import Objective, to_minimised
from paretomerge.types.scores import Origin, Scores
from paretomerge.types.summaries import counted, summarise

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class FrontPoint:
    """One trade-off: its number on the front, its weighting, its values and their standard deviations."""

    id: int
    weights: dict[str, float]
    values: dict[str, float]
    stdev: dict[str, float]
    origin: Origin


@dataclass(frozen=True, eq=False)
class Front:
    """Mutually non-dominated points; checked on construction.

    Args:
        tasks: the `T` task names.
        weights: `[N, T]`, the weighting of each point.
        values: `[N, M]`, in each objective's own direction.
        stdev: `[N, M]`, standard deviations.
        objectives: the `M` objectives.
        reference: `[M]`, the reference point of the hypervolume, in each objective's own direction.
        origin: `[N]`, as in `Scores`.

    Raises:
        DataError: a point that another one dominates, or shapes that disagree.
    """

    tasks: tuple[str, ...]
    weights: np.ndarray
    values: np.ndarray
    stdev: np.ndarray
    objectives: tuple[Objective, ...]
    reference: np.ndarray
    origin: tuple[Origin, ...]

    def __post_init__(self) -> None:
        """Check that no point dominates another."""
        scores = Scores(self.tasks, self.weights, self.values, self.stdev, self.objectives, self.origin)
        reference = np.array(self.reference, dtype=np.float64)
        if reference.shape != (len(self.objectives),):
            raise DataError(f"the reference point has shape {list(reference.shape)}, expected [{len(self.objectives)}]")
        if not len(scores):
            raise DataError("a front needs at least one point")
        kept = moocore.is_nondominated(to_minimised(scores.values, self.objectives), keep_weakly=True)
        if not kept.all():
            raise DataError(f"point {int(np.flatnonzero(~kept)[0])} is dominated: filter with is_nondominated first")
        for name in ("tasks", "weights", "values", "objectives", "origin"):
            object.__setattr__(self, name, getattr(scores, name))
        object.__setattr__(self, "stdev", scores.stderr)
        object.__setattr__(self, "reference", reference)

    @property
    def scores(self) -> Scores:
        """The points as `Scores`, with standard deviations for standard errors."""
        return Scores(self.tasks, self.weights, self.values, self.stdev, self.objectives, self.origin)

    def __repr__(self) -> str:
        """How many points, where they come from, and the range of every objective."""
        return summarise(self.scores, f"Front of {counted(len(self), 'point')}")

    def to_pandas(self) -> DataFrame:
        """A table with one row per point, in the front's order: the columns of `Scores.to_pandas`.

        `stderr[OBJECTIVE]` holds the standard deviations; the index is the point's number (`FrontPoint.id`).

        Raises:
            DataError: two objectives of one name.
            MissingExtraError: pandas is not installed.
        """
        from paretomerge.types.frames import to_frame

        return to_frame(self.scores, row="point")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        plain = self.scores.as_dict()
        plain["stdev"] = plain.pop("stderr")
        return {**plain, "reference": self.reference.tolist()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Front:
        """The inverse of `as_dict`."""
        scores = Scores.from_dict({**stored, "stderr": stored["stdev"]})
        reference = np.array(stored["reference"])
        return cls(
            scores.tasks, scores.weights, scores.values, scores.stderr, scores.objectives, reference, scores.origin
        )

    def __len__(self) -> int:
        """Number of points."""
        return len(self.values)

    def __getitem__(self, point: int) -> FrontPoint:
        """Point number `point`."""
        if not -len(self) <= point < len(self):
            raise IndexError(f"the front has points 0 to {len(self) - 1}, not {point}")
        names = [objective.name for objective in self.objectives]
        return FrontPoint(
            id=point % len(self),
            weights=dict(zip(self.tasks, self.weights[point].tolist(), strict=True)),
            values=dict(zip(names, self.values[point].tolist(), strict=True)),
            stdev=dict(zip(names, self.stdev[point].tolist(), strict=True)),
            origin=self.origin[point],
        )

    def __iter__(self) -> Iterator[FrontPoint]:
        """Every point in turn."""
        return (self[i] for i in range(len(self)))
