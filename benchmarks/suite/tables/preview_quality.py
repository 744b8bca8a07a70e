"""Every method of every setting: previews held against joint finetuning, weighting by weighting and as fronts."""

from __future__ import annotations

import numpy as np

from benchmarks.suite.results import AVERAGING, DEFAULT, Result, Results
from benchmarks.suite.statistics import ratio_with_interval
from benchmarks.suite.tables.cells import NOTHING, folded, markdown, number, percent, with_interval
from benchmarks.suite.tables.overview import in_floors

MEASURES = (
    ("loss error", "loss_error", 4),
    ("bias", "loss_bias", 4),
    ("interior", "loss_error_interior", 4),
    ("unweighted", "loss_error_unweighted", 4),
    ("two joint runs", "recalibrated_error_2", 4),
    ("accuracy error", "accuracy_error", 4),
    ("scalarised loss", "scalarised_loss", 3),
    ("hypervolume ratio", "hypervolume_ratio", 3),
    ("IGD+", "igd_plus", 4),
    ("ε", "additive_epsilon", 3),
    ("rank corr.", "rank_correlation", 3),
    ("regret, mean", "regret_mean", 4),
    ("regret, worst", "regret_worst", 4),
    ("predicted: rank corr.", "predicted_rank_correlation", 3),
    ("predicted: error", "predicted_error", 3),
)
STUDIES = "study"
"""The factor of methods that have a table of their own."""


def preview_quality(results: Results) -> str:
    """A table for each setting, folded but for the first."""
    parts = []
    for result in results.values():
        text = f"{sentence(result)}\n\n{previews_table(result)}"
        parts.append(folded(f"<b>{result.name}</b>: {result.stored['about']}", text))
    return "\n\n".join(parts) or NOTHING


def sentence(result: Result) -> str:
    """What the numbers of a setting are means over, and what is missing."""
    said = f"Seeds {', '.join(map(str, result.seeds))}; tasks {', '.join(result.stored['tasks'])}."
    partial = [
        f"{name} ({found} of {len(result.seeds)} seeds)"
        for name in shown(result)
        if 0 < (found := int(np.isfinite(result.values(name, "loss_error")).sum())) < len(result.seeds)
    ]
    failed = list(result.stored.get("failures", {}))
    said += f" Not on every seed: {'; '.join(partial)}." if partial else ""
    return said + (f" Failed: {'; '.join(failed)}." if failed else "")


def shown(result: Result) -> list[str]:
    """Previews that do not belong to a study, best first."""
    found = [name for name in result.of_kind("preview") if result.factor(name, STUDIES) is None]
    return sorted(found, key=lambda name: result.mean(name, "loss_error") or np.inf)


def previews_table(result: Result) -> str:
    """One setting; the noise floor last."""
    head = ["method", "× floor", "× averaging", *(title for title, _, _ in MEASURES), "share of 66"]
    rows = []
    for name in shown(result):
        title = f"**{name}**" if name == DEFAULT else name
        numbers = [
            number(result.mean(name, measure), digits, measure == "loss_bias") for _, measure, digits in MEASURES
        ]
        rows.append([title, in_floors(result, name, "loss_error"), in_averaging(result, name), *numbers])
        rows[-1].append(percent(result.mean(name, "share")))
    if result.has_floor:
        numbers = [number(mean_of(result.floor(measure)), digits) for _, measure, digits in MEASURES]
        rows.append(["joint finetuning, another seed", "1.00", "", *numbers, ""])
    return markdown(head, rows)


def in_averaging(result: Result, name: str) -> str:
    """Loss error as a multiple of averaging's, on the same seeds."""
    if not result.has(AVERAGING, "loss_error"):
        return ""
    ours, plain = result.pair(name, "loss_error", result.values(AVERAGING, "loss_error"))
    return with_interval(ratio_with_interval(ours, plain)) if len(ours) else ""


def mean_of(values: np.ndarray) -> float | None:
    """Over the seeds that have a number."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else None
