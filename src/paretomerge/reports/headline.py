"""The result in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from paretomerge.reports.data import ReportData
from paretomerge.reports.digits import decimals_for, show, show_interval
from paretomerge.reports.marks import INTERVAL, MARKS, clean, objective_name
from paretomerge.types import FrontPoint, Objective, Origin
from paretomerge.types.scores import ORIGINS

MOST_NAMED = 4

_VERBS: dict[Origin, str] = {
    "predicted": "is predicted (not measured) to reach",
    "merged": "reaches, measured on the merged model,",
    "trained": "reaches, measured on the jointly finetuned model,",
}


def headline(data: ReportData) -> str:
    """What was chosen and what it reaches; without a choice, how large the front is."""
    if data.choice is not None:
        return _choice_sentence(data.choice, data.scores.objectives, *_intervals(data))
    over = _listed([objective_name(objective, 40) for objective in data.objectives])
    if data.front is not None:
        count = len(data.front)
        trade_offs = "trade-off" if count == 1 else "trade-offs"
        return f"The front over {over} has {count} {trade_offs}: {_counted(data.front.origin)}."
    if len(data.scores):
        return f"{len(data.scores)} models scored on {over}: {_counted(data.scores.origin)}. No front yet."
    return f"No model has been scored on {over} yet."


def weights_text(weights: Mapping[str, float]) -> str:
    """The largest weights first, such as `"movie 0.50, tweets 0.30, and 4 more"`."""
    ordered = list(weights.items())
    if len(ordered) > MOST_NAMED:
        ordered = sorted((item for item in ordered if item[1]), key=lambda item: -abs(item[1]))
    named = [f"{clean(task, 40)} {weight:.2f}" for task, weight in ordered[:MOST_NAMED]]
    more = len(ordered) - len(named)
    if more:
        named.append(f"and {more} more")
    elif len(ordered) < len(weights):
        named.append("the others 0")
    return ", ".join(named)


def _choice_sentence(
    choice: FrontPoint, objectives: Sequence[Objective], intervals: Mapping[str, tuple[float, float]], level: float
) -> str:
    reached = []
    for objective in objectives:
        if objective.name not in choice.values:
            continue
        value, half = choice.values[objective.name], INTERVAL * choice.stdev.get(objective.name, 0.0)
        unit = f" {clean(objective.unit, 12)}" if objective.unit else ""
        shown = show_interval(value, half, decimals_for([value], [half]))
        if objective.name in intervals:
            low, high = intervals[objective.name]
            decimals = decimals_for([value], [(high - low) / 2])
            shown = f"{show(value, decimals)} [{show(low, decimals)}, {show(high, decimals)}]"
        reached.append(f"{objective_name(objective, 40)} {shown}{unit}")
    named = reached[:MOST_NAMED]
    if len(reached) > len(named):
        more = len(reached) - len(named)
        named.append(f"{more} further {'objective' if more == 1 else 'objectives'}, listed below")
    ends = f" ({100 * level:g} % intervals in brackets)" if intervals else ""
    return f"The chosen weighting ({weights_text(choice.weights)}) {_VERBS[choice.origin]} {_listed(named)}{ends}."


def _intervals(data: ReportData) -> tuple[dict[str, tuple[float, float]], float]:
    """Objective → ends of the interval where the choice is a point of the front and more is known than its stdev."""
    if data.choice is None or data.front is None or data.uncertainty is None:
        return {}, 0.0
    # A choice that was scored again has other values than the front, and its own standard errors.
    same = 0 <= data.choice.id < len(data.front) and data.front[data.choice.id] == data.choice
    if not same:
        return {}, 0.0
    lower, upper = (ends[data.choice.id].tolist() for ends in (data.uncertainty.lower, data.uncertainty.upper))
    names = [objective.name for objective in data.uncertainty.objectives]
    return dict(zip(names, zip(lower, upper, strict=True), strict=True)), data.uncertainty.level


def _counted(origins: Sequence[Origin]) -> str:
    counts = Counter(origins)
    return ", ".join(f"{counts[word]} {MARKS[word].label}" for word in ORIGINS if counts[word])


def _listed(words: Sequence[str]) -> str:
    if len(words) > MOST_NAMED + 1:
        words = [*words[:MOST_NAMED], f"{len(words) - MOST_NAMED} more"]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
