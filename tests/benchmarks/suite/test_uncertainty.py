"""Coverage, sharpness and reliability on synthetic predictions whose quality is known."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.suite.recording import Recording
from benchmarks.suite.uncertainty import LEVELS, pooled, uncertainty

from paretomerge.types import Objective

TASKS = ("a", "b")
LOSSES = tuple(Objective(f"loss[{task}]", "minimise", "nats", (0.0, None), task, "loss") for task in TASKS)
POINTS, EXAMPLES = 4000, 50


def recorded(rng, *, truly=0.2, said=0.2, bias=0.0, noise=1.0, points=POINTS, predictions=None) -> Recording:
    """Predictions that err by `truly` and say `said`; test examples scatter by `noise` around the expected score."""
    expected = rng.standard_normal((points, 2))
    mean = expected - bias + truly * rng.standard_normal((points, 2))
    examples = {
        objective.name: expected[:, [m]] + noise * rng.standard_normal((points, EXAMPLES))
        for m, objective in enumerate(LOSSES)
    }
    stated = {
        "objectives": [objective.name for objective in LOSSES],
        "mean": mean.tolist(),
        "stdev": np.full((points, 2), said).tolist(),
        "nondominated_probability": None,
    }
    facts = {"found": {"predictions": {**stated, **(predictions or {})}}}
    return Recording(LOSSES, TASKS, np.full((points, 2), 0.5), examples, facts)


def test_intervals_that_are_right_cover_as_they_say():
    found = uncertainty([recorded(np.random.default_rng(0))])
    for level in LEVELS:
        # A share of 8000 independent intervals has a standard error of at most 0.6 %.
        assert found[f"coverage_{level}"] == pytest.approx(level / 100, abs=0.02)
    assert found["standardised_spread"] == pytest.approx(1, abs=0.03)
    assert found["intervals"] == found["predictions"] == 2 * POINTS


def test_the_sampling_error_of_test_means_is_not_held_against_a_prediction():
    found = uncertainty([recorded(np.random.default_rng(1), truly=0.05, said=0.05, noise=5.0)])
    assert found["coverage_90"] == pytest.approx(0.9, abs=0.02)


def test_intervals_that_are_too_short_cover_too_little():
    found = uncertainty([recorded(np.random.default_rng(2), truly=0.4, said=0.2, noise=1e-3)])
    assert found["coverage_90"] == pytest.approx(0.589, abs=0.02)  # 2 Φ(1.645 / 2) - 1
    assert found["standardised_spread"] == pytest.approx(2, abs=0.05)


def test_optimism_is_a_positive_bias_for_losses_and_for_accuracies():
    losses = recorded(np.random.default_rng(3), bias=0.5, truly=0.1)
    found = uncertainty([losses])
    assert found["prediction_bias"] == pytest.approx(0.5, abs=0.02)
    assert found["standardised_bias"] > 1
    accuracies = tuple(Objective(o.name, "maximise", task=o.task, metric="accuracy") for o in LOSSES)
    turned = Recording(accuracies, TASKS, losses.weights, losses.examples, losses.facts)
    assert uncertainty([turned])["prediction_bias"] == pytest.approx(-0.5, abs=0.02)


def test_sharpness_is_in_units_of_the_given_ranges():
    one = recorded(np.random.default_rng(4), said=0.3)
    assert uncertainty([one], {"loss[a]": 3.0, "loss[b]": 6.0})["sharpness"] == pytest.approx((0.1 + 0.05) / 2)


def test_stored_intervals_are_used_around_their_own_centres():
    rng = np.random.default_rng(5)
    one = recorded(rng, truly=0.0, said=9.0, noise=1e-9)
    mean = np.array(one.facts["found"]["predictions"]["mean"])
    far, near = [mean + 1.0, mean + 2.0], [mean - 0.5, mean + 0.1]
    ends = {"50": far, "80": near, "90": near, "95": near}
    stored = {level: np.array(pair).tolist() for level, pair in ends.items()}
    found = uncertainty([recorded(np.random.default_rng(5), truly=0.0, noise=1e-9, predictions={"intervals": stored})])
    assert (found["coverage_50"], found["coverage_80"]) == (0.0, 1.0)


def test_probabilities_are_held_against_what_test_means_say():
    # On the diagonal of the first pair both points are non-dominated; the third is behind both.
    values = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
    examples = {o.name: values[:, [m]] + np.zeros((1, EXAMPLES)) for m, o in enumerate(LOSSES)}
    stated = {
        "objectives": [o.name for o in LOSSES],
        "mean": values.tolist(),
        "stdev": None,
        "nondominated_probability": [1.0, 0.7, 0.1],
    }
    one = Recording(LOSSES, TASKS, np.full((3, 2), 0.5), examples, {"found": {"predictions": stated}})
    found = uncertainty([one])
    assert found["nondominated_said"] == pytest.approx(0.6)
    assert found["nondominated_seen"] == pytest.approx(2 / 3)
    assert found["nondominated_brier"] == pytest.approx((0 + 0.09 + 0.01) / 3)
    assert (found["nondominated_bin_80_100_points"], found["nondominated_bin_80_100_seen"]) == (1, 1.0)
    assert (found["nondominated_bin_0_20_said"], found["nondominated_bin_0_20_seen"]) == (0.1, 0.0)
    assert "nondominated_bin_20_40_points" not in found
    assert "coverage_90" not in found


def test_right_probabilities_are_reliable():
    # Two points whose order in both objectives is decided by one draw: the second is dominated with probability p.
    rng = np.random.default_rng(6)
    recordings = []
    for chance in rng.uniform(0, 1, 3000):
        dominated = rng.random() < 1 - chance
        values = np.array([[0.0, 0.0], [1.0, 1.0] if dominated else [-1.0, 1.0]])
        examples = {o.name: values[:, [m]] + np.zeros((1, 2)) for m, o in enumerate(LOSSES)}
        stated = {
            "objectives": [o.name for o in LOSSES],
            "mean": values.tolist(),
            "stdev": None,
            "nondominated_probability": [1.0, chance],
        }
        recordings.append(Recording(LOSSES, TASKS, np.full((2, 2), 0.5), examples, {"found": {"predictions": stated}}))
    found = uncertainty(recordings)
    for low, high in ((0, 20), (20, 40), (40, 60), (60, 80)):
        name = f"nondominated_bin_{low}_{high}"
        assert found[f"{name}_seen"] == pytest.approx(found[f"{name}_said"], abs=0.08)


def test_methods_that_say_nothing_get_no_numbers():
    silent = Recording(LOSSES, TASKS, np.zeros((1, 2)), {}, {"found": {}})
    assert uncertainty([silent]) == {}
    assert uncertainty([]) == {}


def test_pooling_seeds_is_the_same_as_all_recordings_together():
    rng = np.random.default_rng(7)
    chances = {"nondominated_probability": rng.random(30).tolist()}
    few = recorded(rng, points=30, predictions=chances)
    many = recorded(rng, points=300, truly=0.5)
    together = uncertainty([few, many])
    apart = pooled([uncertainty([few]), uncertainty([many])])
    assert apart.keys() == together.keys()
    for key, value in together.items():
        assert apart[key] == pytest.approx(value), key
