"""Do intervals and probabilities of searches mean what they say?"""

from __future__ import annotations

from itertools import pairwise

from benchmarks.suite.results import Result, Results
from benchmarks.suite.tables.cells import NOTHING, folded, markdown, number, percent
from benchmarks.suite.uncertainty import BINS, LEVELS, pooled

HEAD = (
    "setting",
    "search",
    "over",
    "evaluations",
    *(f"{level} %" for level in LEVELS),
    "sharpness",
    "spread",
    "bias",
    "error (nats)",
    "Brier score",
)
NUMBERS = (
    ("sharpness", 3),
    ("standardised_spread", 2),
    ("standardised_bias", 2),
    ("prediction_error", 4),
    ("nondominated_brier", 3),
)


def uncertainty(results: Results) -> str:
    """Coverage of intervals by search and budget, a table for each setting."""
    parts = [
        folded(f"<b>{one.name}</b>", markdown(HEAD[1:], [row(one, name)[1:] for name in names]))
        for one in results.values()
        if (names := said(one))
    ]
    summary = [found for one in results.values() if (found := summed(one))]
    if not summary:
        return NOTHING
    return markdown((*HEAD[:1], "searches", *HEAD[4:]), summary) + "\n\n" + "\n\n".join(parts)


def said(result: Result) -> list[str]:
    """Searches that gave intervals, on all validation examples."""
    names = [
        name
        for name in result.of_kind("front")
        if "intervals" in result.methods[name].get("uncertainty", {}) and result.factor(name, "share") in (None, 1.0)
    ]
    known = {name: result.methods[name]["factors"] for name in names}
    return sorted(names, key=lambda name: tuple(known[name].get(one, 0) for one in ("search", "space", "budget")))


def row(result: Result, name: str) -> list[str]:
    """One search."""
    found = result.methods[name]["uncertainty"]
    factors = [str(result.factor(name, one) or 0) for one in ("search", "space", "budget")]
    return [result.name, *factors, *shown(found)]


def shown(found: dict[str, float]) -> list[str]:
    """Coverage and what it is paid with."""
    return [
        *(percent(found.get(f"coverage_{level}")) for level in LEVELS),
        *(number(found.get(name), digits) for name, digits in NUMBERS),
    ]


def summed(result: Result) -> list[str]:
    """Informed searches of one setting, all budgets together."""
    found = informed(result)
    return [result.name, f"{len(found)} informed", *shown(pooled(found))] if found else []


def informed(result: Result) -> list[dict[str, float]]:
    """What informed searches with posteriors said."""
    return [result.methods[name]["uncertainty"] for name in said(result) if result.factor(name, "search") == "informed"]


def reliability(results: Results) -> str:
    """Probabilities of being non-dominated, said and seen, by bins: informed searches, all budgets together."""
    bins = [f"{round(100 * low)}_{round(100 * high)}" for low, high in pairwise(BINS)]
    head = ["setting", *(f"{one.replace('_', ' to ')} %" for one in bins), "mean said", "mean seen"]
    rows = []
    for result in results.values():
        found = informed(result)
        if found and "probabilities" in (all_of := pooled(found)):
            means = [percent(all_of["nondominated_said"]), percent(all_of["nondominated_seen"])]
            rows.append([result.name, *(bin_cell(all_of, one) for one in bins), *means])
    return markdown(head, rows)


def bin_cell(found: dict[str, float], name: str) -> str:
    """`34 % → 28 % (57)`: said, seen, points."""
    key = f"nondominated_bin_{name}"
    if f"{key}_points" not in found:
        return ""
    return f"{percent(found[f'{key}_said'])} → {percent(found[f'{key}_seen'])} ({found[f'{key}_points']:.0f})"
