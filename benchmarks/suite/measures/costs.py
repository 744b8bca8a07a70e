"""What methods cost, single finetunes included, beside finetuning a whole grid of weightings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.suite.measures.fronts import MOST_OBJECTIVES
from benchmarks.suite.measures.truth import LOSS, Truth
from benchmarks.suite.recording import Recording
from paretomerge.fronts import hypervolume_ratio
from paretomerge.types import Scores

GRID = 66
"""Weightings of three tasks in tenths; the same number is taken for any other number of tasks."""
UNITS = ("trainings", "gradient_passes", "core_seconds")


def grid_cost(truth: Truth) -> dict[str, float]:
    """One joint training's cost, mean over all that the truth took, and that of the whole grid."""
    sources = [truth.joint.facts, truth.corners.facts]
    count = sum(one["trainings"] for one in sources)
    each = {unit: sum(one[unit] for one in sources) / count for unit in UNITS}
    return {**{f"one_{unit}": each[unit] for unit in UNITS[1:]}, **{unit: GRID * each[unit] for unit in UNITS}}


def joint_volumes(truth: Truth) -> list[float]:
    """Hypervolume ratio after joint finetuning of the first `0 .. K` weightings: what a part of the grid would show."""
    count = len(truth.joint.weights)
    if len(truth.joint.tasks) > MOST_OBJECTIVES:
        return []
    whole, ends = truth.joint.scores(LOSS), truth.corners.scores(LOSS)
    everything, corner = Scores.concatenate([whole, ends]), truth.reference(LOSS)
    return [
        hypervolume_ratio(Scores.concatenate([whole.take(range(rows)), ends]), everything, reference=corner)
        for rows in range(count + 1)
    ]


def costs(found: Recording, runs: Sequence[Mapping[str, float]], grid: Mapping[str, float]) -> dict[str, float]:
    """Of one method, with as many single finetunes as it needs.

    `share` is core-seconds, and `share_of_passes` differentiated examples, as shares of those of the grid.

    Args:
        found: whose facts have the cost beyond single finetunes.
        runs: cost of the single finetunes of every seed.
        grid: as `grid_cost` gives it.
    """
    own, needed = found.facts["cost"], runs[: found.facts["runs"]]
    whole = {unit: own[unit] + sum(run[unit] for run in needed) for unit in UNITS}
    return {
        **whole,
        "evaluations": own["evaluations"],
        "own_core_seconds": own["core_seconds"],
        "own_gradient_passes": own["gradient_passes"],
        "share": whole["core_seconds"] / grid["core_seconds"],
        "share_of_passes": whole["gradient_passes"] / grid["gradient_passes"],
    }


def start_of(name: str, factors: Mapping[str, object]) -> str | None:
    """The method whose merges another one improves weighting by weighting, at a price for each of them."""
    if factors.get("study") == "steps":
        first = {"merge": "default", "average": "averaging"}.get(str(factors.get("start")))
        return first or name.partition(",")[0]
    return "subspace, layers, enriched" if factors.get("recentred") else None


def at_grid(
    ours: Mapping[str, float], start: Mapping[str, float] | None, weightings: int, grid: Mapping[str, float]
) -> dict[str, float | None]:
    """Shares of a method that pays for every weighting, as if it had made as many models as the grid has.

    Args:
        ours: its costs at the setting's weightings.
        start: of the method that it starts from, paid once; without it nothing can be said.
        weightings: of the setting.
        grid: as `grid_cost` gives it.
    """
    if start is None:
        return {"share": None, "share_of_passes": None}
    found: dict[str, float | None] = {}
    for share, unit in (("share", "core_seconds"), ("share_of_passes", "gradient_passes")):
        found[share] = (start[unit] + max(0.0, ours[unit] - start[unit]) * GRID / weightings) / grid[unit]
    return found
