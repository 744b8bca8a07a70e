"""What to say when no point fulfils a wish: which point comes closest, and what to relax.

Shapes: `K` points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from paretomerge.choices.choice import normalised_front
from paretomerge.choices.wishes import objective_names
from paretomerge.errors import InfeasibleError
from paretomerge.types import Front, to_minimised


def infeasible(
    front: Front, limits: Mapping[str, float], refusal: str, among: np.ndarray | None = None
) -> InfeasibleError:
    """The error for limits that no point keeps.

    The closest point has the smallest sum of shortfalls, each divided by the range of its objective over the front.

    Args:
        front: the points.
        limits: objective → worst allowed value, in its own unit and direction.
        refusal: how the message begins: what no point fulfils.
        among: `[K]`, the points that may be recommended; all when not given.
    """
    names = list(limits)
    shortfall = _shortfall(front, limits)
    candidates = np.arange(len(front)) if among is None else np.flatnonzero(among)
    values = to_minimised(front.values, front.objectives)
    width = np.ptp(values, axis=0)[[objective_names(front).index(name) for name in names]]
    total = (np.maximum(shortfall, 0.0) / np.where(width > 0, width, 1.0)).sum(axis=1)[candidates]
    closest = int(candidates[np.lexsort((normalised_front(front).sum(axis=1)[candidates], total))[0]])
    reached = front[closest].values
    relax = {name: (limits[name], reached[name]) for i, name in enumerate(names) if shortfall[closest, i] > 0}
    alone = _alone(front, limits, shortfall, candidates)
    changes = [
        f"{name!r} by {abs(wished - got):.6g}, from {wished:.6g} to {_enough(front, name, got)}"
        for name, (wished, got) in relax.items()
    ]
    message = f"{refusal}. Point {closest} comes closest: to reach it, relax {' and '.join(changes)}"
    others = [(name, row) for name, row in alone.items() if set(relax) != {name} or row != closest]
    if others:
        only = [
            f"only {name!r} to {_enough(front, name, front[row].values[name])} (point {row})" for name, row in others
        ]
        message += f". Or relax {', or '.join(only)}"
    steps = {name: (limits[name], front[row].values[name]) for name, row in alone.items()}
    return InfeasibleError(message, closest=front[closest], relax=relax, alone=steps)


def _shortfall(front: Front, limits: Mapping[str, float]) -> np.ndarray:
    """`[K, wishes]`: how much worse than its limit each point is, in the objective's unit."""
    columns = [objective_names(front).index(name) for name in limits]
    wished = [front.objectives[column] for column in columns]
    return to_minimised(front.values[:, columns], wished) - to_minimised(np.array(list(limits.values())), wished)


def _alone(front: Front, limits: Mapping[str, float], shortfall: np.ndarray, candidates: np.ndarray) -> dict[str, int]:
    """Wish → the point that keeps all the others and misses this one by the least, where there is one."""
    found = {}
    for i, name in enumerate(limits):
        rest = np.delete(shortfall, i, axis=1)[candidates]
        rows = candidates[(rest <= 0).all(axis=1)]
        if len(rows):
            found[name] = int(rows[np.lexsort((normalised_front(front).sum(axis=1)[rows], shortfall[rows, i]))[0]])
    return found


def _enough(front: Front, name: str, value: float) -> str:
    """Six digits of a value, rounded so that the wish which repeats them is fulfilled."""
    text = f"{value:.6g}"
    sign = front.objectives[objective_names(front).index(name)].sign
    if sign * (float(text) - value) < 0:
        step = 10.0 ** (math.floor(math.log10(abs(value))) - 5)
        text = f"{float(text) + sign * step:.6g}"
    return text
