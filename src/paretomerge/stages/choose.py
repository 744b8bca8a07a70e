"""`choose`: one point of the run's front, by a stated rule."""

from __future__ import annotations

from collections.abc import Mapping

from paretomerge.choices import Choice, ChoiceRule, choose
from paretomerge.errors import InputError, nearest
from paretomerge.recipes import digest_recipe
from paretomerge.stages.front import estimate_run_front
from paretomerge.stages.scoring import Progress, silent
from paretomerge.stages.study import Study
from paretomerge.types import Front, FrontPoint

CHOSEN = "chosen"


def front_of(study: Study, progress: Progress = silent) -> Front:
    """The run's front: the stored one, or a new one when there is none, or the recipe has changed since."""
    with study.folder.open_journal() as journal:
        stored = journal.fact("front")
    current = stored is not None and stored.get("recipe") == digest_recipe(study.recipe)
    return Front.from_dict(stored) if current else estimate_run_front(study, progress).front


def chosen_id(study: Study) -> int | None:
    """The number of the run's chosen point; `None` when none was chosen on the current front."""
    with study.folder.open_journal() as journal:
        fact = journal.fact("choice")
    return int(fact["point"]) if fact and fact.get("recipe") == digest_recipe(study.recipe) else None


def choose_point(study: Study, rule: ChoiceRule, progress: Progress = silent) -> Choice:
    """Choose a point of the run's front by a rule, and remember it as the run's choice.

    Raises:
        InfeasibleError: no point fulfils the wish.
    """
    choice = choose(front_of(study, progress), rule)
    with study.folder.open_journal() as journal:
        fact = {"recipe": digest_recipe(study.recipe), "point": choice.point.id, "rule": choice.rule}
        journal.note("choice", fact)
    return choice


def point_of(study: Study, identifier: str | int, progress: Progress = silent) -> FrontPoint:
    """A point of the run's front by its number, or the chosen one by the word `chosen`.

    Raises:
        InputError: no such point, or nothing chosen yet.
    """
    front = front_of(study, progress)
    if identifier == CHOSEN:
        chosen = chosen_id(study)
        if chosen is None:
            raise InputError(
                "no point of this front was chosen yet: run  paretomerge choose RUN --knee  (or --weights, --at-least)"
            )
        identifier = chosen
    try:
        number = int(identifier)
        if not 0 <= number < len(front):
            raise IndexError
        return front[number]
    except (ValueError, IndexError) as error:
        raise InputError(
            f"the front has the points 0 to {len(front) - 1} and {CHOSEN!r}, not {identifier!r}"
        ) from error


def resolve_names(front: Front, wishes: Mapping[str, float]) -> dict[str, float]:
    """Wishes by objective name; a task's name stands for its only objective on the front.

    Raises:
        InputError: a name that is neither a task nor an objective.

    >>> from paretomerge.types import Objective
    >>> front = Front(("a",), [[1.0]], [[0.5]], [[0.0]], (Objective("loss[a]", task="a"),), [1.0], ("merged",))
    >>> resolve_names(front, {"a": 0.3})
    {'loss[a]': 0.3}
    """
    by_task: dict[str, list[str]] = {}
    for objective in front.objectives:
        by_task.setdefault(objective.task, []).append(objective.name)
    known = dict.fromkeys([*by_task, *(objective.name for objective in front.objectives)])
    for name in wishes:
        if name not in known:
            raise InputError(f"unknown task or objective {name!r}{nearest(name, known)}: one of {', '.join(known)}")
    return {by_task[name][0] if len(by_task.get(name, ())) == 1 else name: value for name, value in wishes.items()}
