"""How far joint finetuning is from itself with another seed: what every error is quoted as a multiple of."""

from __future__ import annotations

import numpy as np

from benchmarks.suite.results import Result, Results
from benchmarks.suite.statistics import mean_with_interval, ratio_with_interval
from benchmarks.suite.tables.cells import amount, markdown, number, with_interval

HEAD = (
    "setting",
    "tasks",
    "parameters",
    "weightings",
    "repeated",
    "grids",
    "seeds",
    "loss error (nats)",
    "mean of the other grids, × floor",
    "accuracy error",
    "hypervolume ratio off one by",
    "IGD+",
    "rank correlation",
    "regret, mean loss",
    "regret, worst task",
)


def noise_floor(results: Results) -> str:
    """A row for each setting with more than one joint grid."""
    return markdown(HEAD, [row(one) for one in results.values() if one.has_floor])


def row(result: Result) -> list[str]:
    """One setting."""
    sizes = result.stored["sizes"]
    mean_of_others = ratio_with_interval(result.floor("loss_error_of_mean"), result.floor())
    return [
        result.name,
        str(len(result.stored["tasks"])),
        amount(sizes["parameters"]),
        str(sizes["weightings"]),
        str(sizes["repeated"]),
        str(result.stored["repeats"]),
        str(len(result.seeds)),
        with_interval(mean_with_interval(result.floor()), 4),
        # With two grids the mean of the others is the other one.
        with_interval(mean_of_others) if result.stored["repeats"] > 2 else "",
        *(
            number(mean(result, measure), digits)
            for measure, digits in (
                ("accuracy_error", 4),
                ("hypervolume_off", 3),
                ("igd_plus", 4),
                ("rank_correlation", 3),
                ("regret_mean", 4),
                ("regret_worst", 4),
            )
        ),
    ]


def mean(result: Result, measure: str) -> float | None:
    """Over the seeds that have it."""
    values = result.floor(measure)
    return float(np.nanmean(values)) if np.isfinite(values).any() else None
