"""Do intervals and probabilities mean what they say: what searches said of their points, held against test scores.

A prediction speaks of the score on all examples there could be. Test scores are means over finitely many, so a nominal
interval is widened, in quadrature, by the sampling error of the test mean before it is asked whether it holds it:

    half-width²  =  (half-width said)² + (z_p · standard error of the test mean)²

Coverage is then right when the share of held test means is the nominal one, and sharpness says at which price. Whether
a point is non-dominated among the points of its front is read from test means; near ties are then decided by chance,
so that observed shares of a right prediction lie somewhat below what was said.

Shapes: `N` points, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np

from benchmarks.suite.recording import Recording
from paretomerge.fronts import is_nondominated
from paretomerge.types import Objective

LEVELS = (50, 80, 90, 95)
"""Per cent."""
BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Edges of the probabilities that are put together."""


@dataclass(frozen=True, eq=False)
class Said:
    """One recorded front: what was said of its points, and what test examples say.

    Attributes:
        mean: `[N, M]`, predicted.
        stdev: `[N, M]`, or `None` where nothing was said.
        intervals: per cent → centre and half-width, each `[N, M]`.
        probability: `[N]` of being non-dominated, or `None`.
        test: `[N, M]`, means over test examples.
        error: `[N, M]`, their standard errors.
        worse: `[M]`, one where a larger score is worse, else minus one.
        objectives: their names.
    """

    mean: np.ndarray
    stdev: np.ndarray | None
    intervals: Mapping[int, tuple[np.ndarray, np.ndarray]]
    probability: np.ndarray | None
    test: np.ndarray
    error: np.ndarray
    worse: np.ndarray
    objectives: tuple[str, ...]

    @classmethod
    def of(cls, recording: Recording) -> Said | None:
        """`None` for a method that predicts nothing."""
        stored = recording.facts.get("found", {}).get("predictions")
        if not stored or not stored["mean"]:
            return None
        names = tuple(stored["objectives"])
        known: Mapping[str, Objective] = {objective.name: objective for objective in recording.objectives}
        examples = [np.asarray(recording.examples[name], dtype=np.float64) for name in names]
        mean = np.array(stored["mean"], dtype=np.float64)
        stdev = None if stored.get("stdev") is None else np.array(stored["stdev"], dtype=np.float64)
        chance = stored.get("nondominated_probability")
        return cls(
            mean,
            stdev,
            intervals_of(stored, mean, stdev),
            None if chance is None else np.array(chance, dtype=np.float64),
            np.stack([column.mean(axis=1) for column in examples], axis=1),
            np.stack([column.std(axis=1, ddof=1) / column.shape[1] ** 0.5 for column in examples], axis=1),
            np.array([known[name].sign for name in names]),
            names,
        )


def uncertainty(recordings: Sequence[Recording], ranges: Mapping[str, float] | None = None) -> dict[str, float]:
    """Coverage, sharpness and reliability of what a method said, over all points of some recordings together.

    Args:
        recordings: of one method: of one seed, or of several.
        ranges: objective → the front's range, in whose units sharpness is; of each recording's own test scores when
            not given. Ranges of the true front make methods comparable.

    Returns:
        Nothing for methods without predictions. Otherwise `prediction_error`, the mean distance of test scores from
        predictions, and `prediction_bias`, how much worse test scores are than predicted. With intervals:
        `coverage_50` to `coverage_95`, `sharpness` (mean standard deviation by range), `standardised_bias` and
        `standardised_spread` (mean and root mean square of `(test - mean) / √(stdev² + error²)`: 0 and 1 where
        errors are as said), and `intervals`, their number. With probabilities: `nondominated_said` and
        `nondominated_seen`, mean and observed share, `nondominated_brier`, the mean squared difference, the same by
        bins (`nondominated_bin_0_20_said` and so on, with `_points`; empty bins are left out), and `probabilities`,
        their number. All are means, so that seeds are put together by `pooled`.
    """
    said = [one for one in map(Said.of, recordings) if one is not None]
    if not said:
        return {}
    return {**errors(said), **coverage(said, ranges), **reliability(said)}


def pooled(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What `uncertainty` gives for all recordings together, from what it gave for each."""
    counts = {"predictions", "intervals", "probabilities"}
    result: dict[str, float] = {}
    for key in dict.fromkeys(key for one in found for key in one):
        there = [one for one in found if key in one]
        if key in counts or key.endswith("_points"):
            result[key] = sum(one[key] for one in there)
            continue
        weights = np.array([one[counted_by(key)] for one in there], dtype=np.float64)
        values = np.array([one[key] for one in there]) ** (2 if key == "standardised_spread" else 1)
        mean = float((weights * values).sum() / weights.sum())
        result[key] = mean**0.5 if key == "standardised_spread" else mean
    return result


def counted_by(key: str) -> str:
    """The number of things that a mean is over."""
    if key.startswith("nondominated_bin"):
        return key.rpartition("_")[0] + "_points"
    if key.startswith("nondominated"):
        return "probabilities"
    return "predictions" if key.startswith("prediction_") else "intervals"


def errors(said: Sequence[Said]) -> dict[str, float]:
    """How far predictions are off."""
    away = np.concatenate([((one.test - one.mean) * one.worse).ravel() for one in said])
    return {
        "predictions": float(len(away)),
        "prediction_error": float(np.abs(away).mean()),
        "prediction_bias": float(away.mean()),
    }


def coverage(said: Sequence[Said], ranges: Mapping[str, float] | None) -> dict[str, float]:
    """Of the intervals and standard deviations."""
    known = [one for one in said if one.stdev is not None]
    if not known:
        return {}
    found: dict[str, float] = {"intervals": float(sum(one.mean.size for one in known))}
    for level in LEVELS:
        found[f"coverage_{level}"] = float(np.concatenate([held(one, level).ravel() for one in known]).mean())
    found["sharpness"] = float(np.concatenate([relative(one, ranges).ravel() for one in known]).mean())
    away = np.concatenate([standardised(one).ravel() for one in known])
    found["standardised_bias"] = float(away.mean())
    found["standardised_spread"] = float(np.sqrt((away**2).mean()))
    return found


def reliability(said: Sequence[Said]) -> dict[str, float]:
    """Of the probabilities of being non-dominated."""
    known = [one for one in said if one.probability is not None]
    if not known:
        return {}
    chance = np.concatenate([one.probability for one in known if one.probability is not None])
    seen = np.concatenate([is_nondominated(one.test * one.worse, keep_weakly=True) for one in known]).astype(float)
    found = {
        "probabilities": float(len(chance)),
        "nondominated_said": float(chance.mean()),
        "nondominated_seen": float(seen.mean()),
        "nondominated_brier": float(((chance - seen) ** 2).mean()),
    }
    places = np.clip(np.digitize(chance, BINS) - 1, 0, len(BINS) - 2)
    for place, (low, high) in enumerate(pairwise(BINS)):
        inside = places == place
        if inside.any():
            name = f"nondominated_bin_{round(100 * low)}_{round(100 * high)}"
            found[f"{name}_points"] = float(inside.sum())
            found[f"{name}_said"] = float(chance[inside].mean())
            found[f"{name}_seen"] = float(seen[inside].mean())
    return found


def held(one: Said, level: int) -> np.ndarray:
    """`[N, M]`: whether the widened interval holds the test mean."""
    centre, half = one.intervals[level]
    return np.abs(one.test - centre) <= np.hypot(half, quantile(level) * one.error)


def relative(one: Said, ranges: Mapping[str, float] | None) -> np.ndarray:
    """`[N, M]` standard deviations in units of the front's range; objectives without a range are left out."""
    assert one.stdev is not None
    width = np.ptp(one.test, axis=0) if ranges is None else np.array([ranges[name] for name in one.objectives])
    wide = width > 0
    return one.stdev[:, wide] / width[wide]


def standardised(one: Said) -> np.ndarray:
    """`[N, M]`: how much worse the test mean is than predicted, by what was said of that and its own error."""
    assert one.stdev is not None
    error = np.hypot(one.stdev, one.error)
    return (one.test - one.mean) * one.worse / np.where(error > 0, error, 1.0)


def intervals_of(
    stored: Mapping[str, Any], mean: np.ndarray, stdev: np.ndarray | None
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Per cent → centre and half-width; normal ones where only standard deviations are stored."""
    if stdev is None:
        return {}
    if not stored.get("intervals"):
        return {level: (mean, quantile(level) * stdev) for level in LEVELS}
    found = {}
    for level in LEVELS:
        lower, upper = np.array(stored["intervals"][str(level)], dtype=np.float64)
        found[level] = ((lower + upper) / 2, (upper - lower) / 2)
    return found


def quantile(level: int) -> float:
    """Half the width of the central interval of a standard normal.

    >>> round(quantile(95), 2)
    1.96
    """
    return NormalDist().inv_cdf(0.5 + level / 200)
