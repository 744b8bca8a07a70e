"""Is a more flexible posterior a better preview? Step by step, paired over seeds."""

from __future__ import annotations

import numpy as np

from benchmarks.suite.results import Result, Results
from benchmarks.suite.statistics import Interval, ratio_with_interval, sign_flips, wilcoxon
from benchmarks.suite.tables.cells import NOTHING, bold, markdown, probability, with_interval

STEPS = (
    ("averaging", "diagonal"),
    ("diagonal", "EKFAC, at finetunes"),
    ("EKFAC, at finetunes", "low rank, at finetunes"),
    ("low rank, at finetunes", "subspace, layers, at finetunes"),
    ("subspace, layers, at finetunes", "subspace, layers, centred"),
    ("subspace, layers, centred", "subspace, layers, enriched"),
    ("subspace, layers, enriched", "default"),
    ("averaging", "default"),
)
"""From isotropic to the default; all but the last three steps expand at the finetunes."""


def more_flexible(results: Results) -> str:
    """Ratios by setting, then tests over all seeds of all settings."""
    used = [one for one in results.values() if any(errors(one, *step)[0].size for step in STEPS)]
    if not used:
        return NOTHING
    head = ["step", *(one.name for one in used)]
    by_setting = markdown(head, [[words(step), *(cell(one, step) for one in used)] for step in STEPS])
    tested = markdown(TESTED, [row for step in STEPS if (row := pooled(used, step))])
    return f"{by_setting}\n\n{tested}"


TESTED = (
    "step, all settings",
    "pairs",
    "better in",
    "geometric mean of ratios",
    "sign flips, p",
    "Wilcoxon, p",
    "settings with an interval below one",
    "above one",
)


def words(step: tuple[str, str]) -> str:
    """`averaging → diagonal`."""
    return " → ".join(step)


def errors(result: Result, less: str, more: str) -> tuple[np.ndarray, np.ndarray]:
    """Loss errors of the more and of the less flexible one, on the seeds of both."""
    if not (result.has(less, "loss_error") and result.has(more, "loss_error")):
        return np.array([]), np.array([])
    return result.pair(more, "loss_error", result.values(less, "loss_error"))


def cell(result: Result, step: tuple[str, str]) -> str:
    """Ratio of errors, more over less flexible; bold where more flexible is surely worse."""
    more, less = errors(result, *step)
    if not more.size:
        return ""
    found = ratio_with_interval(more, less)
    return bold(with_interval(found), above(found[1]))


def above(interval: Interval) -> bool:
    """Whether all of it is above one."""
    return interval is not None and interval[0] > 1


def below(interval: Interval) -> bool:
    """Whether all of it is below one."""
    return interval is not None and interval[1] < 1


def pooled(results: list[Result], step: tuple[str, str]) -> list[str]:
    """Paired tests on logarithms of ratios, one pair per seed of every setting."""
    pairs = [found for one in results if (found := errors(one, *step))[0].size]
    if not pairs:
        return []
    logs = np.concatenate([np.log(more / less) for more, less in pairs])
    intervals = [ratio_with_interval(more, less)[1] for more, less in pairs]
    return [
        words(step),
        str(len(logs)),
        str(int((logs < 0).sum())),
        f"{np.exp(logs.mean()):.2f}",
        probability(sign_flips(logs)) if len(logs) > 1 else "",
        probability(wilcoxon(logs)),
        str(sum(map(below, intervals))),
        str(sum(map(above, intervals))),
    ]
