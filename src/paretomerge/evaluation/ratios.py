"""Scores that are no mean over examples, written as one: the statistic plus each example's influence on it.

A ratio of sums `R = Σ a_i / Σ b_i` moves by `(a_i - R b_i) / Σ b` when example `i` counts a little more. The scores

    v_i = R + (a_i - R b_i) / b̄        with b̄ = Σ b_i / n

have `R` as their mean exactly, and `s(v) / √n` is the standard error of `R` by the delta method (Cochran, 1977,
Sampling Techniques, 6.4). They pair between models as any per-example scores do. A score `v_i` is no score of the
example alone: it depends on all others, may lie outside of the statistic's bounds, and those of a part of the examples
cannot be joined with those of another.

Shapes: `n` examples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from paretomerge.errors import DataError


def ratio_scores(numerators: Any, denominators: Any) -> np.ndarray:
    """Influence values `[n]` of `Σ numerators / Σ denominators`.

    >>> ratio_scores([1.0, 2.0, 0.0], [1.0, 4.0, 1.0]).tolist(), (1 + 2 + 0) / (1 + 4 + 1)
    ([0.75, 0.5, 0.25], 0.5)

    Raises:
        DataError: different numbers of both, or denominators that are negative or sum to zero.
    """
    above, below = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if above.ndim != 1 or above.shape != below.shape:
        raise DataError(f"numerators {list(above.shape)} and denominators {list(below.shape)} must both be [n]")
    if (below < 0).any() or not below.sum() > 0:
        raise DataError("a ratio of sums needs denominators of at least zero that are not all zero")
    ratio = above.sum() / below.sum()
    return ratio + (above - ratio * below) / below.mean()


def f1_scores(predicted: Any, labels: Any, classes: int) -> np.ndarray:
    """Influence values `[n]` of the macro F1 score.

        F1_c = 2 TP_c / (2 TP_c + FP_c + FN_c)

    averaged over the classes that occur among labels or predictions, each with the same weight: also of two classes,
    where others report the F1 of one of them. Each F1 is a ratio of sums, so the scores are the mean of theirs.

    Args:
        predicted: class numbers, `[n]`.
        labels: class numbers, `[n]`.
        classes: how many there are.

    >>> round(float(f1_scores([0, 1, 1, 2], [0, 1, 2, 2], 4).mean()), 6)
    0.777778

    Raises:
        DataError: no examples, different numbers of both, or a number that is no class.
    """
    guesses, truths = np.asarray(predicted, dtype=np.int64), np.asarray(labels, dtype=np.int64)
    if guesses.ndim != 1 or guesses.shape != truths.shape or not len(guesses):
        raise DataError(f"predictions {list(guesses.shape)} and labels {list(truths.shape)} must both be [n], n > 0")
    found = np.union1d(guesses, truths)
    if found[0] < 0 or found[-1] >= classes:
        raise DataError(f"classes must be 0 to {classes - 1}, found {found[0] if found[0] < 0 else found[-1]}")
    scores = np.zeros(len(guesses))
    for label in found:
        chosen, true = guesses == label, truths == label
        scores += ratio_scores(2.0 * (chosen & true), chosen.astype(float) + true)
    return scores / len(found)


def perplexity_scores(nll_sums: Any, tokens: Any) -> np.ndarray:
    """Influence values `[n]` of the perplexity `exp(Σ nll / Σ tokens)`: every token counts the same, not every text.

    Args:
        nll_sums: negative log likelihood of each example's tokens together, in nats, `[n]`.
        tokens: how many these are, `[n]`.

    Raises:
        DataError: as `ratio_scores`.
    """
    logs = ratio_scores(nll_sums, tokens)
    centre = np.exp(np.sum(nll_sums, dtype=np.float64) / np.sum(tokens, dtype=np.float64))
    # The derivative of the exponential carries each influence over.
    return centre + centre * (logs - logs.mean())
