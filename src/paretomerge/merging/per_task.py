"""Settings of a rule that are one number for all tasks, or one for each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from paretomerge.errors import RecipeError, nearest

PerTask = float | Mapping[str, float] | tuple[tuple[str, float], ...]
"""One number, or a mapping task → number. Rules keep a mapping as pairs in the order of the names, so that they print,
compare and hash by what they say."""


def frozen_setting(name: str, value: PerTask) -> float | tuple[tuple[str, float], ...]:
    """A setting as rules keep it.

    Raises:
        RecipeError: something else than a finite number.
    """
    if isinstance(value, Mapping | tuple):
        pairs = dict(value)
        if not pairs:
            raise RecipeError(f"{name} is an empty mapping: give one number, or a number for every task")
        return tuple((task, _number(f"{name} of {task!r}", pairs[task])) for task in sorted(pairs))
    return _number(name, value)


def setting_numbers(value: PerTask) -> dict[str, float]:
    """Every number of a setting, by how a message calls it."""
    if isinstance(value, tuple):
        return {f" of {task!r}": number for task, number in value}
    assert not isinstance(value, Mapping)
    return {"": value}


def for_tasks(name: str, value: PerTask, tasks: Sequence[str]) -> list[float]:
    """A setting in the order of `tasks`.

    Raises:
        RecipeError: a mapping that lacks a task, or has one too many.
    """
    if not isinstance(value, tuple):
        assert not isinstance(value, Mapping)
        return [value] * len(tasks)
    given = dict(value)
    for task in given:
        if task not in tasks:
            raise RecipeError(f"{name} is given for {task!r}, which is no task{nearest(task, tasks)}: {_list(tasks)}")
    missing = [task for task in tasks if task not in given]
    if missing:
        raise RecipeError(f"{name} is not given for {_list(missing)}: give one number, or a number for every task")
    return [given[task] for task in tasks]


def require_density(value: PerTask) -> None:
    """Raise `RecipeError` unless every density is a share of elements in (0, 1]."""
    for whose, number in setting_numbers(value).items():
        if not 0 < number <= 1:
            raise RecipeError(
                f"density{whose} is {number:g}: it is the share of elements that is kept, in (0, 1]. To leave a task "
                "out give it weight 0"
            )


def _number(what: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RecipeError(f"{what} must be a finite number, got {value!r}")
    return float(value)


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
