"""What every method is: a setting's finetunes in, models at weightings out, with an honest cost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from benchmarks.suite.setting import Setting
from paretomerge.types import Ledger, Params


class NotHere(Exception):  # noqa: N818 - a reason to skip, no error
    """What a method needs is not on this machine, or cannot work with this setting; the reason is printed.

    A method that raises it from `find` is skipped, which is no failure.
    """


Kind = Literal["preview", "front"]
"""`preview`: one model at each of the setting's weightings. `front`: any number of models, compared as sets."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a method gives.

    Args:
        weights: `[N, T]`; of previews the setting's weightings, of fronts the coefficients of the points.
        models: `N` of them, one at a time.
        cost: beyond the single finetunes: joint trainings, gradient passes, evaluations on validation data.
        facts: choices that were made, predictions; plain JSON. `"trained_rows"`: rows of the setting's weightings whose
            joint finetunes the method used; errors are quoted on the others.
        core_seconds: spent earlier, by another method that keeps what both need, such as the same fit; added to what
            this method is seen to spend.
        checks: further facts that the method itself does not need, such as how far its curvature is from the truth.
            Asked for once all models are scored, and not part of the cost.
    """

    weights: np.ndarray
    models: Iterable[Params]
    cost: Ledger = field(default_factory=Ledger)
    facts: Mapping[str, Any] = field(default_factory=dict)
    core_seconds: float = 0.0
    checks: Callable[[], Mapping[str, Any]] = dict


@dataclass(frozen=True)
class Method:
    """A named way from finetunes to models.

    Args:
        name: for tables, unique in the suite.
        find: what it does. Only training and validation data may be looked at.
        kind: what its models are held against.
        factors: family, route, number of runs and so on, for the analysis.
        runs: single finetunes per task that it needs; their cost is added.
    """

    name: str
    find: Callable[[Setting], Found]
    kind: Kind = "preview"
    factors: Mapping[str, Any] = field(default_factory=dict)
    runs: int = 1


class Stopwatch:
    """Core-seconds since it was made, whatever else the machine does: processor time of this process and of those it
    waited for.
    """

    def __init__(self) -> None:
        """Start."""
        self.started = self._clock()

    @property
    def seconds(self) -> float:
        """So far."""
        return self._clock() - self.started

    @staticmethod
    def _clock() -> float:
        children = os.times()
        return time.process_time() + children.children_user + children.children_system
