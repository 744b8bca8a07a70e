"""Wishes in the user's words: objectives by name, values in their own unit and direction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from paretomerge.errors import DataError, nearest
from paretomerge.types import Front, Objective


def objective_names(front: Front) -> list[str]:
    """The names of the front's objectives, in order."""
    return [objective.name for objective in front.objectives]


def require_objectives(named: Iterable[str], objectives: Sequence[Objective]) -> None:
    """Raise `DataError` when one of the names is none of the objectives'."""
    known = [objective.name for objective in objectives]
    for name in named:
        if name not in known:
            raise DataError(
                f"unknown objective {name!r}{nearest(name, known)}: the front's objectives are {', '.join(known)}"
            )


def checked_wishes(wishes: Mapping[str, float], what: str, at_least: int = 1) -> dict[str, float]:
    """A copy of objective → value with finite numbers and `at_least` so many entries, or `DataError`."""
    if not isinstance(wishes, Mapping) or len(wishes) < at_least:
        entries = " with at least one entry" if at_least else ""
        raise DataError(f"{what} must be a mapping objective → value{entries}, got {wishes!r}")
    checked = {}
    for name, value in wishes.items():
        try:
            checked[name] = float(value)
        except (TypeError, ValueError) as error:
            raise DataError(f"{what}: {name!r} has {value!r}, expected a number") from error
        if not math.isfinite(checked[name]):
            raise DataError(f"{what}: {name!r} has {value}, expected a finite number; leave it out for no wish")
    return checked


def bound(objective: Objective, value: float) -> str:
    """A limit in words, in the objective's own direction.

    >>> bound(Objective("accuracy", "maximise"), 0.9)
    'accuracy >= 0.9'
    """
    return f"{objective.name} {'<=' if objective.direction == 'minimise' else '>='} {value:.6g}"
