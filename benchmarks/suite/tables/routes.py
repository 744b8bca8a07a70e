"""Family × route × place, where every combination was tried: loss errors as multiples of averaging's."""

from __future__ import annotations

from benchmarks.suite.results import Result, Results
from benchmarks.suite.tables.cells import NOTHING, folded, markdown
from benchmarks.suite.tables.preview_quality import in_averaging

PLACES = ("finetune", "segment", "average", "posterior", "centred", "centred, enriched")


def routes(results: Results) -> str:
    """A table for each setting."""
    parts = [folded(f"<b>{one.name}</b>", table(one)) for one in results.values() if rows_of(one)]
    return "\n\n".join(parts) or NOTHING


def table(result: Result) -> str:
    """One setting."""
    found = rows_of(result)
    places = [place for place in PLACES if any(place in by_place for by_place in found.values())]
    rows = [
        [*key, *(in_averaging(result, by_place[place]) if place in by_place else "" for place in places)]
        for key, by_place in found.items()
    ]
    return markdown(["family", "route", *places], rows)


def rows_of(result: Result) -> dict[tuple[str, str], dict[str, str]]:
    """Family and route → place → method."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for name in result.of_kind("preview"):
        if result.factor(name, "study") == "routes":
            # "EKFAC, true, segment" or "subspace by layer, centred, enriched"
            family, _, rest = name.partition(", ")
            route = str(result.factor(name, "route") or "")
            place = rest.removeprefix(f"{route}, ")
            found.setdefault((family, route), {})[place] = name
    return dict(sorted(found.items()))
