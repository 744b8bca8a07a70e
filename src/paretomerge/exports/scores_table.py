"""Scores of a model for a reader: values, intervals, and what was given up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist

from paretomerge.types import FrontPoint, Objective

LEVEL = 0.9

ORIGIN_MEANING = {
    "predicted": "predicted by a surrogate, not measured",
    "merged": "measured on this merged model",
    "trained": "measured on a jointly finetuned model with these task weights, not on this merge",
}


def scores_text(objectives: Sequence[Objective], point: FrontPoint, split: str) -> str:
    """A table of every score with its interval, and where it comes from."""
    known = {objective.name: objective for objective in objectives}
    examples = f" on the {split} examples" if point.origin != "predicted" else ""
    source = "the surrogate's standard deviations" if point.origin == "predicted" else "the spread over examples"
    rows = [
        *("## Scores", ""),
        f"These values were {ORIGIN_MEANING[point.origin]}{examples} (origin: `{point.origin}`). Intervals have the "
        f"level {LEVEL:.0%}, from {source}.",
        *("", f"| objective | value | {LEVEL:.0%} interval | better |", "|---|---|---|---|"),
    ]
    for name, value in point.values.items():
        objective = known.get(name)
        better = {"minimise": "lower", "maximise": "higher"}[objective.direction] if objective else "–"
        interval = interval_of(value, point.stdev.get(name, 0.0), objective)
        shown = "–" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}{_unit(objective)}"
        rows.append(f"| {cell(name)} | {value:.6g}{_unit(objective)} | {shown} | {better} |")
    return "\n".join(rows)


def interval_of(
    value: float, stdev: float, objective: Objective | None = None, level: float = LEVEL
) -> tuple[float, float] | None:
    """The normal interval around a score, inside the objective's bounds; `None` where no error is known.

    >>> low, high = interval_of(0.9, 0.1, Objective("accuracy", "maximise", bounds=(0.0, 1.0)))
    >>> round(low, 3), high
    (0.736, 1.0)
    """
    if not stdev > 0:
        return None
    reach = NormalDist().inv_cdf((1 + level) / 2) * stdev
    low, high = value - reach, value + reach
    lowest, highest = objective.bounds if objective is not None else (None, None)
    return (low if lowest is None else max(low, lowest)), (high if highest is None else min(high, highest))


def gives_up_text(objectives: Sequence[Objective], gives_up: Mapping[str, float]) -> str:
    """What the choice costs on every objective, compared with the best on the front; nothing where that is unknown."""
    if not gives_up:
        return ""
    known = {objective.name: objective for objective in objectives}
    lines = [f"- {cell(name)}: {lost:.4g}{_unit(known.get(name))}" for name, lost in gives_up.items()]
    return "\n".join(["What it gives up, compared with the best of each objective on the front:", "", *lines])


def cell(text: str) -> str:
    r"""Text that stays in its cell of a Markdown table, and is neither HTML nor a link there.

    >>> print(cell("a|b <script> [x](y)"))
    a\|b &lt;script&gt; [x]\(y)
    """
    for character in ("\\", "|", "`"):
        text = text.replace(character, "\\" + character)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("](", "]\\(").replace("\n", " ")


def code(text: object) -> str:
    """Text between backticks, which it cannot leave."""
    return "`" + str(text).replace("`", "'").replace("\n", " ") + "`"


def _unit(objective: Objective | None) -> str:
    return f" {cell(objective.unit)}" if objective is not None and objective.unit else ""
