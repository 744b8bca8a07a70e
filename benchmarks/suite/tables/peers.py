"""Other people's code for the same rules with the same settings: does it give the same models, and at what cost?"""

from __future__ import annotations

from typing import Any

from benchmarks.suite.results import Result, Results
from benchmarks.suite.tables.cells import NOTHING, amount, folded, markdown, number

HEAD = [
    "their method",
    "loss error",
    "ours",
    "largest difference of a parameter",
    "largest update",
    "share that differs",
    "core-seconds",
    "ours",
]


def peers(results: Results) -> str:
    """A table for each setting."""
    parts = [folded(f"<b>{one.name}</b>", table(one)) for one in results.values() if theirs(one)]
    return "\n\n".join(parts) or NOTHING


def theirs(result: Result) -> list[str]:
    """Methods that are somebody else's implementation of one of ours."""
    return [name for name in result.of_kind("preview") if result.factor(name, "implementation")]


def table(result: Result) -> str:
    """One setting."""
    return markdown(HEAD, [row(result, name) for name in theirs(result)])


def row(result: Result, name: str) -> list[str]:
    """One of their methods beside ours; of differences the largest of all seeds."""
    ours = str(result.factor(name, "rule"))
    found = [one for one in result.methods[name]["facts"].get("against_ours", []) if one]
    drawn = [one for one in result.methods[name]["facts"].get("ours_against_another_draw", []) if one]
    note = f" ({largest(drawn, 'largest_difference')} between two draws of ours)" if drawn else ""
    return [
        name,
        number(result.mean(name, "loss_error"), 4),
        number(result.mean(ours, "loss_error"), 4) if result.has(ours, "loss_error") else "",
        largest(found, "largest_difference") + note,
        largest(found, "largest_update"),
        largest(found, "differing_share"),
        amount(result.mean(name, "core_seconds")),
        amount(result.mean(ours, "core_seconds")) if result.has(ours, "core_seconds") else "",
    ]


def largest(found: list[dict[str, Any]], what: str) -> str:
    """Of all seeds."""
    return f"{max(one[what] for one in found):.2g}" if found else ""
