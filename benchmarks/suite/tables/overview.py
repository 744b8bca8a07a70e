"""What was aimed at, for the default method on every setting; what is missed is bold."""

from __future__ import annotations

import numpy as np

from benchmarks.suite.results import AVERAGING, DEFAULT, Result, Results
from benchmarks.suite.statistics import mean_with_interval, ratio_with_interval
from benchmarks.suite.tables.cells import bold, markdown, number, percent, with_interval

FLOOR, RECALIBRATED, VOLUME, RANK, SHARE = 1.0, 0.85, 0.01, 0.95, 0.10
"""Aims: error and recalibrated error in floors, hypervolume ratio's distance from one, rank correlation, cost."""
HEAD = (
    "setting",
    "seeds",
    "floor (nats)",
    "averaging, × floor",
    "default, × floor",
    "to the mean of the seeds",
    "with two joint runs, × floor",
    "hypervolume ratio",
    "off one by (another seed)",
    "rank correlation (another seed)",
    "share of 66 joint trainings",
)


def overview(results: Results) -> str:
    """A row for each setting that has the default."""
    return markdown(HEAD, [row(one) for one in results.values() if one.has(DEFAULT, "loss_error")])


def row(result: Result) -> list[str]:
    """One setting."""
    seeds = int(np.isfinite(result.values(DEFAULT, "loss_error")).sum())
    floor = float(np.nanmean(result.floor())) if result.has_floor else None
    volume, rank = result.mean(DEFAULT, "hypervolume_ratio"), result.mean(DEFAULT, "rank_correlation")
    off = float(np.nanmean(np.abs(result.values(DEFAULT, "hypervolume_ratio") - 1))) if volume is not None else None
    share = result.mean(DEFAULT, "share")
    return [
        result.name,
        str(seeds),
        number(floor, 4),
        in_floors(result, AVERAGING, "loss_error"),
        in_floors(result, DEFAULT, "loss_error", FLOOR),
        in_floors(result, DEFAULT, "loss_error_to_mean"),
        in_floors(result, DEFAULT, "recalibrated_error_2", RECALIBRATED),
        number(volume),
        bold(number(off), off is not None and off > VOLUME) + beside(result, "hypervolume_off"),
        bold(number(rank), rank is not None and rank < RANK) + beside(result, "rank_correlation"),
        bold(percent(share), share is not None and share > SHARE),
    ]


def beside(result: Result, measure: str) -> str:
    """The same of joint finetuning with another seed, where there is any."""
    values = result.floor(measure)
    return f" ({np.nanmean(values):.3f})" if np.isfinite(values).any() else ""


def in_floors(result: Result, method: str, measure: str, aim: float | None = None, floor: str = "loss_error") -> str:
    """A measure as a multiple of the noise floor, with an interval over seeds; bold above the aim."""
    if not result.has(method, measure) or not result.has_floor:
        return ""
    ours, noise = result.pair(method, measure, result.floor(floor))
    if not len(ours):
        return ""
    found = ratio_with_interval(ours, noise)
    return bold(with_interval(found), aim is not None and found[0] > aim)


def plain_mean(result: Result, method: str, measure: str, digits: int = 3) -> str:
    """Mean with its interval."""
    values = result.values(method, measure) if result.has(method, measure) else np.array([])
    values = values[np.isfinite(values)]
    return with_interval(mean_with_interval(values), digits) if len(values) else ""
