"""What is measured, and which way is better: the only place in the project that flips a sign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from paretomerge.errors import DataError

Direction = Literal["minimise", "maximise"]


@dataclass(frozen=True)
class Objective:
    """One number per model: its name, its direction, its unit and its bounds.

    Args:
        name: how tables, axes and commands call it.
        direction: `"minimise"` or `"maximise"`.
        unit: for axis labels, such as `"nats"`; empty when it has none.
        bounds: `(lowest, highest)` possible values, `None` for unbounded; they choose the surrogate's link.
        task: the task it is measured on; `name` when not given.
        metric: which of an evaluator's metrics it is; the only one when not given.
    """

    name: str
    direction: Direction = "minimise"
    unit: str = ""
    bounds: tuple[float | None, float | None] = (None, None)
    task: str = ""
    metric: str = ""

    def __post_init__(self) -> None:
        """Check the direction and the bounds."""
        if self.direction not in ("minimise", "maximise"):
            raise DataError(f"objective {self.name!r}: direction {self.direction!r} is not 'minimise' or 'maximise'")
        low, high = self.bounds
        if low is not None and high is not None and not low < high:
            raise DataError(f"objective {self.name!r}: bounds {self.bounds} are not increasing")
        if not self.task:
            object.__setattr__(self, "task", self.name)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Objective:
        """From JSON, as `dataclasses.asdict` gives it."""
        low, high = stored["bounds"]
        return cls(**{**stored, "bounds": (low, high)})

    @property
    def sign(self) -> float:
        """`+1` if it is minimised, `-1` if it is maximised."""
        return 1.0 if self.direction == "minimise" else -1.0


def to_minimised(values: np.ndarray, objectives: Sequence[Objective]) -> np.ndarray:
    """`values [..., M]` with every objective turned so that smaller is better (its own inverse)."""
    return np.asarray(values, dtype=np.float64) * np.array([objective.sign for objective in objectives])


from_minimised = to_minimised
