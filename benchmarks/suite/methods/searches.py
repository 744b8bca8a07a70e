"""Searches by real evaluations of real merges, at several budgets.

Searched are the losses of all tasks on validation examples. At most 25 points are recommended; they are merged and
scored on test examples like all other models. Each budget is a method of its own. Over coefficients of task vectors
(MAP's merges) all searches compete; over task weights of the default posterior those that can work on a simplex.

The budgets depend on the number of tasks: a quadratic in `T` coefficients has `(T+1)(T+2)/2` of its own, Nested MAP
grows as `T log T`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from benchmarks.suite.methods.base import Found, Method, NotHere
from benchmarks.suite.methods.searching import (
    EvolvedModels,
    Measuring,
    PublishedMap,
    SpaceName,
    domain_of,
    predictions_of,
    space_of,
)
from benchmarks.suite.setting import Setting
from paretomerge.fronts.methods import (
    BayesianMap,
    FrontEstimate,
    FrontMethod,
    FrontProblem,
    Informed,
    Map,
    NestedMap,
    Spaced,
)
from paretomerge.fronts.methods.map import coefficients
from paretomerge.fronts.search import thinned
from paretomerge.types import Ledger, Objective, to_minimised

POINTS, FEW_POINTS, SMOKE_POINTS = 25, 10, 4
PARTS = (25, 50)
"""Per cent of the validation examples, in the ablation."""
MANY = 8
"""Tasks from which on budgets are larger, and batches too."""


@dataclass(frozen=True)
class Search:
    """A search, before its setting is known.

    Args:
        name: for tables.
        method: tasks → the search.
        budgets: evaluations.
        spaces: where it runs.
        predicted: whether it uses what posteriors predict.
        least: the smallest budget that it can work with.
    """

    name: str
    method: Callable[[int], FrontMethod]
    budgets: tuple[int, ...]
    spaces: tuple[SpaceName, ...] = ("coefficients", "weights")
    predicted: bool = False
    least: Callable[[FrontProblem], int] = lambda problem: 1


def batch(tasks: int) -> int:
    """Points between two fits."""
    return 5 if tasks < MANY else 10


INFORMED = Search(
    "informed", lambda tasks: Informed(batch(tasks), stop_gain=0.0), (0, 5, 10, 20, 40, 80), predicted=True
)
UNINFORMED = Search(
    "informed without posteriors", lambda tasks: Informed(batch(tasks), stop_gain=0.0), (10, 20, 40, 80)
)
PUBLISHED = Search(
    "MAP as published", lambda tasks: PublishedMap(), (10, 20, 40, 80, 160), ("coefficients",), least=coefficients
)
REPAIRED = Search("MAP repaired", lambda tasks: Map(), (10, 20, 40, 80, 160), least=coefficients)
BAYESIAN = Search(
    "Bayesian MAP", lambda tasks: BayesianMap(batch(tasks)), (5, 10, 20, 40, 80), ("coefficients",), least=lambda _: 2
)
NESTED = Search(
    "Nested MAP",
    lambda tasks: NestedMap(),
    (20, 40, 80),
    ("coefficients",),
    least=lambda problem: NestedMap().smallest_budget(problem),
)
RANDOM = Search("random search", lambda tasks: Spaced("random"), (5, 10, 20, 40, 80, 160))
EVOLVED = Search("NSGA-II", lambda tasks: EvolvedModels(), (20, 40, 80, 160), ("coefficients",))

ALL = (INFORMED, UNINFORMED, PUBLISHED, REPAIRED, BAYESIAN, NESTED, RANDOM, EVOLVED)


def searches(smoke: bool) -> list[Method]:
    """All searches at all budgets, and informed search on parts of the validation examples."""
    if smoke:
        return smallest()
    found = [
        searched(search, space, budget, POINTS)
        for search in ALL
        for space in search.spaces
        for budget in search.budgets
    ]
    return found + [searched(INFORMED, "coefficients", 20, POINTS, share) for share in PARTS]


def searches_few(smoke: bool) -> list[Method]:
    """For settings in which an evaluation takes seconds: fewer searches, budgets and points.

    Where 20 evaluations are too few for a quadratic, it gets 40.
    """
    if smoke:
        return smallest()
    informed = [searched(INFORMED, space, budget, FEW_POINTS) for space in INFORMED.spaces for budget in (0, 10, 20)]
    others = [searched(search, "coefficients", 20, FEW_POINTS) for search in (UNINFORMED, RANDOM, EVOLVED)]
    quadratics = [
        searched(search, "coefficients", budget, FEW_POINTS, enough=20)
        for search in (PUBLISHED, REPAIRED)
        for budget in (20, 40)
    ]
    return [*informed, *others, *quadratics]


def smallest() -> list[Method]:
    """Every search once, as small as it gets."""
    quick = (
        (INFORMED, "coefficients", 0),
        (INFORMED, "weights", 5),
        (UNINFORMED, "coefficients", 5),
        (PUBLISHED, "coefficients", 10),
        (REPAIRED, "coefficients", 10),
        (BAYESIAN, "coefficients", 5),
        (NESTED, "coefficients", 20),
        (RANDOM, "weights", 5),
        (EVOLVED, "coefficients", 10),
    )
    whole = [searched(search, space, budget, SMOKE_POINTS, smoke=True) for search, space, budget in quick]  # type: ignore[arg-type]
    return [*whole, searched(INFORMED, "coefficients", 5, SMOKE_POINTS, 50, smoke=True)]


def budgets_of(tasks: int) -> tuple[int, ...]:
    """Evaluations that are of interest with so many tasks.

    >>> budgets_of(3), budgets_of(8), budgets_of(16)
    ((0, 5, 10, 20, 40), (0, 10, 20, 40, 80), (0, 20, 40, 80, 160))
    """
    if tasks < MANY:
        return (0, 5, 10, 20, 40)
    return (0, 10, 20, 40, 80) if tasks < 2 * MANY else (0, 20, 40, 80, 160)


def searched(
    search: Search,
    space: SpaceName,
    budget: int,
    points: int,
    per_cent: int = 100,
    *,
    enough: int | None = None,
    smoke: bool = False,
) -> Method:
    """A search over one family of merges.

    Args:
        search: which one.
        space: the family.
        budget: evaluations.
        points: that are recommended, at most.
        per_cent: of the validation examples that models are scored on.
        enough: larger budgets are only for searches that cannot work with this one.
        smoke: with any number of tasks.
    """
    part = "" if per_cent == 100 else f" on {per_cent} % of the examples"
    name = f"{search.name} over {space}, {budget} evaluations{part}"

    def find(setting: Setting) -> Found:
        domain, tasks = domain_of(space, setting.tasks), len(setting.tasks)
        objectives = tuple(objective for objective in setting.objectives if objective.metric == "loss")
        least = search.least(FrontProblem(domain, setting.tasks, objectives))
        if not smoke and budget not in budgets_of(tasks):
            raise NotHere(f"{budget} evaluations are not a budget for {tasks} tasks")
        if 0 < budget < least:
            raise NotHere(f"{search.name} needs {least} evaluations for {tasks} tasks")
        if enough is not None and least <= enough < budget:
            raise NotHere(f"{enough} evaluations are enough here")
        return found_by(setting, search, space, objectives, budget, points, per_cent / 100)

    factors = {"search": search.name, "space": space, "budget": budget, "share": per_cent / 100}
    return Method(name, find, "front", factors)


def found_by(
    setting: Setting,
    search: Search,
    space: SpaceName,
    objectives: tuple[Objective, ...],
    budget: int,
    points: int,
    share: float,
) -> Found:
    """The recommended front and what it cost."""
    where = space_of(setting, space, search.predicted)
    predicted = where.predicted_losses
    problem = FrontProblem(where.domain, setting.tasks, objectives, predicted_losses=predicted, points=points)
    measuring = Measuring(setting, where, share)
    method = search.method(len(setting.tasks))
    estimate = at_most(points, method.search(problem, measuring, budget, setting.seed))
    facts: dict[str, Any] = {
        "budget": budget,
        "space": space,
        "evaluations": measuring.evaluations,
        "stopped": estimate.stopped,
        "warnings": [] if estimate.surrogate is None else list(estimate.surrogate.warnings),
        "predictions": predictions_of(estimate, measuring, setting.seed),
    }
    cost = where.cost + Ledger(evaluations=ceil(measuring.evaluations - 1e-9))
    models = where.models(estimate.front.weights)
    return Found(estimate.front.weights, models, cost, facts, where.saved + measuring.saved)


def at_most(points: int, estimate: FrontEstimate) -> FrontEstimate:
    """The estimate with a front of so many points; searches that only measure recommend all that is non-dominated."""
    front = estimate.front
    rows = thinned(to_minimised(front.values, front.objectives), points)
    kept = front.scores.take(rows)
    few = replace(front, weights=kept.weights, values=kept.values, stdev=kept.stderr, origin=kept.origin)
    return replace(estimate, front=few)
