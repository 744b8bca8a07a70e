"""What is known of the three BERTs, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.suite.tables.cells import NOTHING, markdown, number


def tables(stored: Mapping[str, Any] | None) -> str:
    """Pre-flight, equality of merges, features."""
    if not stored:
        return NOTHING
    return "\n\n".join([preflight(stored), equality(stored), features(stored)])


def preflight(stored: Mapping[str, Any]) -> str:
    """Once as they are, once repaired, once with each finetune's own pooler left out."""
    rows = []
    for stage in ("as they are", "repaired", "own poolers"):
        said = stored[stage]
        severities = [each["severity"] for each in said["findings"]]
        rows.append(
            [
                stage,
                "yes" if said["ok"] else "no",
                str(severities.count("error")),
                str(severities.count("warning")),
                *(number(said["distances"][task]) for task in stored["tasks"]),
                *(number(cosine) for cosine in said["cosines_of_task_vectors"].values()),
            ]
        )
    head = ["checkpoints", "fit", "errors", "warnings", *(f"distance of {task}" for task in stored["tasks"])]
    table = markdown([*head, "cosine of task vectors"], rows)
    return f"{table}\n\nAdvised, and enough: `{' '.join(stored['repairs'])}`. {known(stored)}"


def known(stored: Mapping[str, Any]) -> str:
    """The check against the package, and what `diagnose` has to say."""
    given, pair = stored["published fingerprint"], next(iter(stored["signs"]["overlaps"].values()))
    far = "; ".join(
        f"{task} in `{one['tensor']}`, by {number(one['distance'], 2)} (cosine {number(one['cosine'], 2)})"
        for task, one in stored["repaired"]["farthest"].items()
    )
    warned = "a warning" if stored["signs"]["diagnoses"] else "no warning"
    return (
        f"The package gives the first {given['numbers']} numbers of one fingerprint: those of the checkpoint as it is "
        f"opened here differ by {given['largest_difference']:.1g} at most. Finetunes went farthest: {far}. Of where "
        f"the task vectors overlap, {number(pair['opposed'], 2)} is opposed: {warned}. Asked for more, "
        f"`diagnose` and `front` say: *{stored['without data']['diagnose']}*."
    )


def equality(stored: Mapping[str, Any]) -> str:
    """Ours against a plain loop in float64, and against mergekit."""
    rows = []
    for name, one in stored["merges"].items():
        cells = [against(one, which) for which in ("plain loop", "mergekit")]
        rows.append([name, ", ".join(f"{key} {value:g}" for key, value in one["settings"].items()), *cells])
    return markdown(["rule", "settings", "largest difference to a plain loop", "to mergekit"], rows)


def against(one: Mapping[str, Any], which: str) -> str:
    """The largest difference, or why there is none."""
    if which not in one["against"]:
        return "not measured"
    return f"{one['against'][which]['largest_difference']:.1g}"


def features(stored: Mapping[str, Any]) -> str:
    """Of the base, the finetunes and their merges."""
    compared = list(next(iter(stored["features"].values()))["shared_neighbours"])
    rows = [
        [name, number(one["hidden_token_loss"]), *(number(one["shared_neighbours"][other], 2) for other in compared)]
        for name, one in stored["features"].items()
    ]
    return markdown(
        ["model", "loss of hidden tokens", *(f"neighbours shared with {other}" for other in compared)], rows
    )
