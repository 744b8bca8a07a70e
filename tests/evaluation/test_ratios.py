from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.errors import DataError
from paretomerge.evaluation import f1_scores, perplexity_scores, ratio_scores, standard_error

labelled = st.integers(1, 5).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        st.lists(st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), min_size=1, max_size=30),
    )
)


@given(labelled)
def test_the_mean_is_the_macro_f1_of_scikit_learn(drawn: Any) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    classes, pairs = drawn
    guesses, labels = zip(*pairs, strict=True)
    expected = metrics.f1_score(labels, guesses, average="macro", zero_division=0.0)
    assert f1_scores(guesses, labels, classes).mean() == pytest.approx(expected, abs=1e-12)


def test_two_classes_are_macro_too() -> None:
    """TP 1, FP 1, FN 1 of class one and TP 2, FP 1, FN 1 of class zero."""
    assert f1_scores([1, 1, 0, 0, 0], [1, 0, 1, 0, 0], 2).mean() == pytest.approx((1 / 2 + 2 / 3) / 2, abs=1e-15)


def test_classes_that_never_occur_do_not_count() -> None:
    few, many = f1_scores([0, 1, 1], [0, 1, 0], 2), f1_scores([0, 1, 1], [0, 1, 0], 9)
    assert few.tolist() == many.tolist()


def test_perfect_predictions_have_no_error() -> None:
    found = f1_scores([0, 1, 2, 2], [0, 1, 2, 2], 3)
    assert found.tolist() == [1.0] * 4


def test_the_mean_is_the_ratio_of_sums() -> None:
    rng = np.random.default_rng(0)
    above, below = rng.normal(size=50), rng.integers(0, 9, 50)
    assert ratio_scores(above, below).mean() == pytest.approx(above.sum() / below.sum(), rel=1e-13)


def test_the_mean_is_the_perplexity_of_all_tokens_together() -> None:
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, 20, 40)
    sums = rng.gamma(2.0, size=40) * tokens
    expected = math.exp(sums.sum() / tokens.sum())
    assert perplexity_scores(sums, tokens).mean() == pytest.approx(expected, rel=1e-13)


def _predictions(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.choice(3, count, p=[0.6, 0.3, 0.1])
    return np.where(rng.random(count) < 0.7, labels, rng.integers(0, 3, count)), labels


def test_the_standard_error_of_f1_is_how_much_it_varies() -> None:
    """Target: the spread of F1 over fresh samples of 500; budget: 600 of them, known to 3 %."""
    rng = np.random.default_rng(2)
    found, errors = [], []
    for _ in range(600):
        scores = f1_scores(*_predictions(rng, 500), 3)
        found.append(scores.mean())
        errors.append(standard_error(scores))
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.1)


def test_the_standard_error_of_perplexity_is_how_much_it_varies() -> None:
    """Target and budget as for F1; long texts are the easier ones, so that tokens and losses go together."""
    rng = np.random.default_rng(3)
    found, errors = [], []
    for _ in range(600):
        tokens = rng.integers(1, 30, 500)
        scores = perplexity_scores(tokens * (rng.gamma(4.0, 0.25, 500) + 3.0 / tokens), tokens)
        found.append(scores.mean())
        errors.append(standard_error(scores))
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.1)


def test_influences_are_the_derivative_of_the_statistic() -> None:
    """Counting example `i` a little more moves F1 by `(v_i - F1) / n` times that little."""
    guesses, labels = _predictions(np.random.default_rng(4), 12)
    scores, step = f1_scores(guesses, labels, 3), 1e-6

    def weighted(weights: np.ndarray) -> float:
        parts = [
            2
            * (weights * ((guesses == c) & (labels == c))).sum()
            / ((weights * (guesses == c)).sum() + (weights * (labels == c)).sum())
            for c in np.union1d(guesses, labels)
        ]
        return float(np.mean(parts))

    for i in range(12):
        weights = np.ones(12)
        weights[i] += step
        slope = (weighted(weights) - weighted(np.ones(12))) / step
        assert slope == pytest.approx((scores[i] - scores.mean()) / 12, abs=1e-6)


def test_what_has_no_ratio_is_refused() -> None:
    with pytest.raises(DataError, match=r"numerators \[2\] and denominators \[3\]"):
        ratio_scores([1, 2], [1, 2, 3])
    with pytest.raises(DataError, match="not all zero"):
        perplexity_scores([0.0, 0.0], [0, 0])
    with pytest.raises(DataError, match="at least zero"):
        ratio_scores([1.0, 2.0], [3, -1])
    with pytest.raises(DataError, match=r"must both be \[n\], n > 0"):
        f1_scores([], [], 2)
    with pytest.raises(DataError, match="classes must be 0 to 1, found 2"):
        f1_scores([0, 2], [0, 1], 2)
    with pytest.raises(DataError, match="classes must be 0 to 1, found -100"):
        f1_scores([0, 1], [-100, 1], 2)
