"""Previews after a few joint trainings."""

from __future__ import annotations

import numpy as np
import pytest
from tests.benchmarks.suite.recordings import CORNERS, TASKS, write_method, write_seed

from benchmarks.suite.measures import measured

FIRST = np.linspace(0.1, 0.9, 9)
WEIGHTS = np.stack([FIRST, 1 - FIRST], axis=1)
TRUTH = 0.2 + 1.2 * (1 - WEIGHTS)


@pytest.fixture
def found(tmp_path):
    preview = TRUTH * (1 + 0.5 * (1 - WEIGHTS))  # behind by half where a task has no weight, not at all at its corner
    folder = write_seed(tmp_path, losses=TRUTH, weights=WEIGHTS, corners=CORNERS, repeats=[TRUTH + 0.01])
    write_method(folder, preview, weights=WEIGHTS)
    return measured(folder)["methods"]["default"]["measures"]


def test_a_smooth_discrepancy_is_mostly_taken_away_by_two_joint_runs(found):
    assert found["recalibrated_error_2"] < 0.35 * found["previewed_error_2"]


def test_more_runs_leave_less(found):
    assert found["recalibrated_error_3"] < found["recalibrated_error_1"] < found["previewed_error_1"]


def test_errors_are_over_the_weightings_that_were_not_trained(found):
    # With trained rows counted the error before would be the mean over all.
    assert found["previewed_error_2"] != pytest.approx(found["loss_error"])
    assert 0 <= found["recalibrated_coverage_2"] <= 1


def test_inside_the_simplex_means_all_tasks_have_weight(tmp_path):
    weights = np.array([[0.5, 0.5, 0], [0.4, 0.3, 0.3], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6], [0.1, 0.5, 0.4]])
    truth = 0.3 + (1 - weights)
    preview = truth.copy()
    preview[0] += 0.4  # only where a task has no weight, which two runs inside tell nothing of
    folder = write_seed(tmp_path, [], truth, weights, 0.2 + 2 * (1 - np.eye(3)))
    write_method(folder, preview, weights=weights)
    found = measured(folder)["methods"]["default"]["measures"]
    assert found["recalibrated_error_interior_2"] < 0.1 * found["recalibrated_error_2"]


def test_joint_runs_that_were_used_already_are_the_first_ones(tmp_path):
    preview = TRUTH * (1 + 0.5 * (1 - WEIGHTS))
    preview[2] = TRUTH[2]
    folder = write_seed(tmp_path, [], TRUTH, WEIGHTS, CORNERS)
    write_method(folder, preview, weights=WEIGHTS, found={"trained_rows": [2]})
    found = measured(folder)["methods"]["default"]["measures"]
    others = [row for row in range(9) if row != 2]
    assert found["previewed_error_1"] == pytest.approx(np.abs(preview - TRUTH)[others].mean())


def test_joint_runs_of_another_seed_cannot_be_used_again(tmp_path):
    folder = write_seed(tmp_path, [], TRUTH, WEIGHTS, CORNERS)
    write_method(folder, TRUTH + 0.01, weights=WEIGHTS, found={"trained_rows": [2]})
    found = measured(folder)["methods"]["default"]["measures"]
    assert "loss_error" in found
    assert not any(name.startswith("recalibrated") for name in found)


def test_too_few_weightings_are_not_recalibrated(tmp_path):
    folder = write_seed(tmp_path, [], TRUTH[:3], WEIGHTS[:3])
    write_method(folder, TRUTH[:3], weights=WEIGHTS[:3])
    found = measured(folder)["methods"]["default"]["measures"]
    assert not any(name.startswith("recalibrated") for name in found)
    assert len(TASKS) == 2
