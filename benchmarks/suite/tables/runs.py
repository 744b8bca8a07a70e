"""Several runs per task: mixtures of their posteriors against averages of the same runs."""

from __future__ import annotations

from benchmarks.suite.results import DEFAULT, Result, Results
from benchmarks.suite.tables.cells import markdown
from benchmarks.suite.tables.preview_quality import in_averaging


def runs(results: Results) -> str:
    """Kinds by number of runs, for each setting: loss errors as multiples of averaging's (of one run)."""
    used = {one.name: kinds(one) for one in results.values() if kinds(one)}
    counts = sorted({count for found in used.values() for by_count in found.values() for count in by_count})
    head = ["setting", "made of the runs", *("1 run" if count == 1 else f"{count} runs" for count in counts)]
    rows = [
        [name, kind, *(in_averaging(results[name], by_count[count]) if count in by_count else "" for count in counts)]
        for name, found in used.items()
        for kind, by_count in found.items()
    ]
    return markdown(head, rows)


def kinds(result: Result) -> dict[str, dict[int, str]]:
    """What is made of runs → number of them → method."""
    found: dict[str, dict[int, str]] = {}
    for name in result.of_kind("preview"):
        factors = result.methods[name]["factors"]
        if factors.get("study") == "runs":
            found.setdefault(kind_of(name), {})[factors["runs"]] = name
    for kind, first in ((kind, DEFAULT) for kind in found if kind.endswith("then default")):
        if result.has(first, "loss_error"):
            found[kind].setdefault(1, first)
    return {kind: dict(sorted(by_count.items())) for kind, by_count in sorted(found.items())}


def kind_of(name: str) -> str:
    """Without the number of runs.

    >>> kind_of("mixture of 3 runs, EM"), kind_of("soup of 1 run"), kind_of("soup of 2 runs, then default")
    ('mixture, EM', 'soup', 'soup, then default')
    """
    before, _, after = name.partition(" of ")
    return before + after.partition("run")[2].removeprefix("s")
