"""Which points are dominated with high probability, from paired scores on some of the examples.

Models that are scored on the same examples differ by less than each score's error says: a difference of means has the
error of the mean difference. A point is dropped when another one is at least as good on every objective with high
probability; the guarantee is per point that nothing dominates, over all its rivals and all rounds of a race:

    P(it is dropped) <= 1 - drop_probability

(races of this kind: Maron & Moore, 1994, Hoeffding races; Birattari et al., 2002, A racing algorithm for configuring
metaheuristics. The probabilities here are those of Student's t, and Bonferroni's bound joins objectives and rivals.)

Shapes: `K` points, `R` rivals, `M` objectives, `n` examples of an objective.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paretomerge.errors import DataError

SMALLEST_SAMPLE = 20
"""From fewer examples nothing is dropped: the spread of so few differences says little about their error."""


def dominated_probability(scores: Sequence[np.ndarray], rivals: Sequence[np.ndarray] | None = None) -> np.ndarray:
    """A lower bound `[K, R]` on the probability that rival `r` dominates point `k`.

    `P(no worse on all objectives) >= 1 - Σ_m (1 - P_m)` whatever the objectives share, and
    `P_m = F_{n-1}(d / s)` for the mean `d` and standard error `s` of the differences of paired scores, to which one
    difference of `+r` and one of `-r` are added, `r` their root mean square: few examples that happen to agree are no
    certainty. An objective with a single score is exact.

    Args:
        scores: for each objective, turned so that smaller is better, `[K, n]`.
        rivals: the same for the rivals, on the same examples; the points themselves when `None`.

    Raises:
        DataError: no objectives, or scores that cannot be paired.
    """
    from scipy.special import stdtr  # slow to import

    rivals = scores if rivals is None else rivals
    if not len(scores) or len(scores) != len(rivals):
        raise DataError("a race needs the scores of at least one objective, the same for points and rivals")
    missing = np.zeros((len(scores[0]), len(rivals[0])))
    better = np.zeros(missing.shape, dtype=bool)
    for ours, theirs in zip(scores, rivals, strict=True):
        count = _paired(ours, theirs)
        for row, one in enumerate(ours):
            differences = one - theirs
            mean = differences.mean(axis=1)
            better[row] |= mean > 0
            if count == 1:
                missing[row] += mean < 0
                continue
            squares = (differences**2).mean(axis=1)
            variance = squares * (count + 2) - count * mean**2  # of the n differences and the two that were added
            error = np.sqrt(np.maximum(variance, 0.0) / ((count + 1) * count))
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.where(error > 0, mean / error, 0.0)
            missing[row] += 1 - stdtr(count - 1, ratio)
    return np.where(better, np.maximum(1 - missing, 0.0), 0.0)


def drop_dominated(
    scores: Sequence[np.ndarray],
    rivals: Sequence[np.ndarray] | None = None,
    *,
    drop_probability: float = 0.95,
    rounds: int = 1,
) -> np.ndarray:
    """Which of `K` points are dominated with high probability, `[K]` booleans.

    Args:
        scores: as in `dominated_probability`.
        rivals: other points on the same examples, such as those that were measured before; the points themselves are
            rivals of each other too.
        drop_probability: a point that nothing dominates stays with at least this probability.
        rounds: how often this is asked in a race; the risk is divided among the rounds.

    Raises:
        DataError: a probability outside of (0, 1), or fewer rounds than one.
    """
    if not 0 < drop_probability < 1:
        raise DataError(f"drop_probability must be between 0 and 1, got {drop_probability}")
    if rounds < 1:
        raise DataError(f"a race has at least one round, got {rounds}")
    count = len(scores[0]) if len(scores) else 0
    everyone = (
        list(scores)
        if rivals is None
        else [np.concatenate([ours, theirs]) for ours, theirs in zip(scores, rivals, strict=True)]
    )
    if any(1 < column.shape[1] < SMALLEST_SAMPLE for column in scores):
        return np.zeros(count, dtype=bool)
    probability = dominated_probability(scores, everyone)
    risk = (1 - drop_probability) / (rounds * max(probability.shape[1] - 1, 1))
    return (probability >= 1 - risk).any(axis=1)


def _paired(ours: np.ndarray, theirs: np.ndarray) -> int:
    if ours.ndim != 2 or theirs.ndim != 2 or ours.shape[1] != theirs.shape[1] or not ours.shape[1]:
        raise DataError(
            f"scores [K, n] of shapes {list(ours.shape)} and {list(theirs.shape)} cannot be paired: score all points "
            "on the same examples"
        )
    return ours.shape[1]
