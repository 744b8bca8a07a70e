"""One thing changed at a time: loss errors as multiples of averaging's on the same seeds."""

from __future__ import annotations

from benchmarks.suite.results import DEFAULT, Result, Results
from benchmarks.suite.tables.cells import NOTHING, markdown, number
from benchmarks.suite.tables.preview_quality import in_averaging

STUDIES = {
    "examples": "Curvature examples per task",
    "damping": "Damping",
    "groups": "Groups of task vectors",
    "enrichment": "Directions besides task vectors",
    "centres": "Expansions in a row",
}
PARTS = (0.25, 0.5, 1.0)


def ablations(results: Results) -> str:
    """A table for every study, settings as columns, then the size of the validation set."""
    parts = [table(results, study, title) for study, title in STUDIES.items()]
    parts.append(evaluation_sets(results))
    return "\n\n".join(part for part in parts if part) or NOTHING


def table(results: Results, study: str, title: str) -> str:
    """One study; the default for comparison."""
    used = [one for one in results.values() if names_in(one, study)]
    if not used:
        return ""
    names = [DEFAULT, *dict.fromkeys(name for one in used for name in names_in(one, study))]
    head = [title, *(one.name for one in used)]
    rows = [[name, *(in_averaging(one, name) if one.has(name, "loss_error") else "" for one in used)] for name in names]
    return markdown(head, rows)


def names_in(result: Result, study: str) -> list[str]:
    """The methods of a study, in the order of their numbers."""
    found = [name for name in result.of_kind("preview") if result.factor(name, "study") == study]
    return sorted(found, key=lambda name: (amount_in(name) is not None, name.partition(",")[0], amount_in(name) or 0.0))


def amount_in(name: str) -> float | None:
    """The first number after a comma.

    >>> amount_in("default, 25 examples"), amount_in("default, damping 0.03"), amount_in("default")
    (25.0, 0.03, None)
    """
    for word in name.partition(",")[2].split():
        try:
            return float(word)
        except ValueError:
            continue
    return None


def evaluation_sets(results: Results) -> str:
    """Searches that saw a part of the validation examples: hypervolume ratios."""
    rows = []
    for result in results.values():
        for name in result.of_kind("front"):
            factors = result.methods[name]["factors"]
            if factors.get("share") == PARTS[0]:
                rows.append([result.name, whole_of(factors), *(volume(result, factors, part) for part in PARTS)])
    head = ["setting", "search, hypervolume ratio", *(f"{100 * part:g} % of the validation examples" for part in PARTS)]
    return markdown(head, rows) if rows else ""


def whole_of(factors: dict[str, object]) -> str:
    """A search in words."""
    return f"{factors['search']} over {factors['space']}, {factors['budget']} evaluations"


def volume(result: Result, factors: dict[str, object], part: float) -> str:
    """Hypervolume ratio of the same search on a part."""
    for name in result.of_kind("front"):
        if result.methods[name]["factors"] == {**factors, "share": part}:
            return number(result.mean(name, "hypervolume_ratio"))
    return ""
