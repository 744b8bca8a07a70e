"""Fronts that were searched by evaluating merges, against the joint front, by the number of evaluations."""

from __future__ import annotations

from benchmarks.suite.results import DEFAULT, Result, Results
from benchmarks.suite.tables.cells import NOTHING, folded, markdown, number

Rows = dict[tuple[str, str], dict[int, str]]
"""Search and space → budget → method."""


def searched_fronts(results: Results) -> str:
    """A table for each setting: hypervolume ratio and IGD+ by budget."""
    parts = [folded(f"<b>{one.name}</b>", table(one)) for one in results.values() if searches(one)]
    return "\n\n".join(parts) or NOTHING


def searches(result: Result) -> Rows:
    """Searches on all validation examples."""
    found: Rows = {}
    for name in result.of_kind("front"):
        factors = result.methods[name]["factors"]
        if "search" in factors and factors.get("share", 1.0) == 1.0:
            found.setdefault((factors["search"], factors["space"]), {})[factors["budget"]] = name
    return found


def table(result: Result) -> str:
    """One setting."""
    found = searches(result)
    budgets = sorted({budget for by_budget in found.values() for budget in by_budget})
    head = ["search", "over", *(f"{budget} evaluations" for budget in budgets)]
    rows = [
        [search, space, *(cell(result, by_budget.get(budget)) for budget in budgets)]
        for (search, space), by_budget in found.items()
    ]
    known = (
        "Hypervolume ratio to the joint front / the same of no more models than weightings / IGD+ in nats. "
        f"The default's previews: {cell(result, DEFAULT)}."
    )
    return f"{known}\n\n{markdown(head, rows)}"


def cell(result: Result, name: str | None) -> str:
    """`0.987 / 0.975 / 0.0210`; of previews there are as many as weightings anyhow."""
    if name is None or not result.has(name, "igd_plus"):
        return ""
    known = (("hypervolume_ratio", 3), ("hypervolume_ratio_of_as_many", 3), ("igd_plus", 4))
    return " / ".join(filter(None, (number(result.mean(name, measure), digits) for measure, digits in known)))
