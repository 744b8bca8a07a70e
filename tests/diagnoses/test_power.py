from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.diagnoses import examples_needed, underpowered
from paretomerge.types import Objective, Scores

LINE = np.linspace(0, 1, 6)


def _trade_off(scores_of, examples: int, noise: float, seed: int = 0) -> Scores:
    """What one task gains the other loses; every model has examples of its own noise, and all share some."""
    rng = np.random.default_rng(seed)
    tables = [
        line[:, None] + rng.normal(size=examples) + noise * rng.normal(size=(6, examples)) for line in (LINE, 1 - LINE)
    ]
    return scores_of(*tables)


def test_enough_examples_are_not_worth_a_word(scores_of) -> None:
    """Shared noise as large as the front itself does not matter: every model has it."""
    assert underpowered(_trade_off(scores_of, 400, noise=1.0)) == ()


def test_few_noisy_examples_are_a_warning_that_says_how_many_are_needed(scores_of) -> None:
    found = underpowered(_trade_off(scores_of, 10, noise=4.0, seed=1), {"a": 10, "b": 10})
    assert [each.tasks for each in found] == [("a",), ("b",)]
    assert {each.signature for each in found} == {"power"}
    for each in found:
        assert each.severity == "warning"
        assert each.evidence["reliability"] < 0.5
        assert "on 10 examples" in each.message
        assert "% of what is seen is signal" in each.message
        if "needed" in each.evidence:
            needed = float(f"{each.evidence['needed']:.2g}")
            assert f"about {needed:,.0f} examples" in each.remedy


def test_noise_without_signal_says_that_nothing_speaks_against_equal_weights(scores_of) -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(size=(6, 40))
    table += (-table.mean(axis=1) + 1e-3 * rng.normal(size=6))[:, None]  # differ by less than chance would make them
    [found] = [each for each in underpowered(scores_of(table, table[::-1]), {"a": 40}) if each.tasks == ("a",)]
    assert found.evidence["reliability"] == 0.0
    assert "needed" not in found.evidence
    assert "nothing seen here speaks against it" in found.remedy


def test_a_little_noise_is_a_note(scores_of) -> None:
    found = underpowered(_trade_off(scores_of, 60, noise=1.2))
    assert [each.severity for each in found] == ["note", "note"]
    assert all(0.5 <= each.evidence["reliability"] < 0.9 for each in found)
    assert "needed" not in found[0].evidence
    assert "on 40" not in found[0].message


def test_the_needed_examples_reach_the_reliability_asked_for(scores_of) -> None:
    """With the number that was said to be needed, the reliability is 0.9 on average."""
    count, noise = 80, 2.0
    said = [
        each.evidence["needed"]
        for seed in range(40)
        for each in underpowered(_trade_off(scores_of, count, noise, seed), {"a": count, "b": count})
        if "needed" in each.evidence
    ]
    # noise variance of a mean: 4 / n, signal: variance of the line
    exact = 0.9 / 0.1 * noise**2 / LINE.var(ddof=1)
    assert 0.7 * exact < np.median(said) < 1.4 * exact


def test_more_examples_are_needed_for_more_noise() -> None:
    assert examples_needed(100, 1.0, 1.0) == 900
    assert examples_needed(100, 1.0, 1.0, reliability=0.5) == 100
    assert examples_needed(50, 0.2, 0.1) == 900
    assert examples_needed(100, 1.0, 0.0) is None


def test_scores_that_are_exact_or_too_few_are_no_reason_to_speak(scores_of) -> None:
    scores = _trade_off(scores_of, 10, noise=4.0)
    exact = replace(scores, stderr=np.zeros_like(scores.stderr), shared=None)
    assert underpowered(exact) == ()
    assert underpowered(scores.take([0, 1, 2])) == ()
    assert underpowered(scores.take([])) == ()


def test_dominated_models_do_not_make_a_front_look_wide() -> None:
    """Two hopeless models far away do not help to tell the others apart."""
    line = np.linspace(0, 0.05, 5)
    values = np.concatenate([np.stack([line, 0.05 - line], axis=1), [[5.0, 5.0], [6.0, 6.0]]])
    objectives = (Objective("a"), Objective("b"))
    scores = Scores(("a", "b"), np.zeros((7, 2)), values, np.full((7, 2), 0.1), objectives, ("merged",) * 7)
    assert [each.severity for each in underpowered(scores)] == ["warning", "warning"]


@given(unit=st.floats(1e-6, 1e6), shift=st.floats(-10, 10), seed=st.integers(0, 20))
def test_reliability_has_no_unit_and_no_direction(unit: float, shift: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.stack([LINE, 1 - LINE], axis=1) + 0.2 * rng.normal(size=(6, 2))
    stderr = np.full((6, 2), 0.3)
    plain = (Objective("a"), Objective("b"))
    turned = (Objective("a", "maximise"), Objective("b", "maximise"))
    one = Scores(("a", "b"), np.zeros((6, 2)), values, stderr, plain, ("merged",) * 6)
    two = Scores(("a", "b"), np.zeros((6, 2)), -(values + shift) * unit, stderr * unit, turned, ("merged",) * 6)
    first, second = underpowered(one), underpowered(two)
    assert [each.severity for each in first] == [each.severity for each in second]
    for a, b in zip(first, second, strict=True):
        assert b.evidence["reliability"] == pytest.approx(a.evidence["reliability"], rel=1e-5, abs=1e-5)
        assert b.evidence["spread"] == pytest.approx(unit * a.evidence["spread"], rel=1e-5)


def test_models_that_are_dominated_within_the_noise_count() -> None:
    """Dropping them would leave a trade-off that noise has made."""
    line = np.linspace(0, 1, 9)
    values = np.stack([line, 1 - line], axis=1)
    values[::2] += 0.15  # dominated by their neighbours, by less than the noise
    objectives = (Objective("a"), Objective("b"))
    scores = Scores(("a", "b"), np.zeros((9, 2)), values, np.full((9, 2), 0.2), objectives, ("merged",) * 9)
    found = underpowered(scores)
    expected = 1 - 0.04 / values.var(axis=0, ddof=1)
    np.testing.assert_allclose([each.evidence["reliability"] for each in found], expected)
