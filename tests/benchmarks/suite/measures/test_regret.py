"""Choosing by previews and paying with the truth."""

from __future__ import annotations

import numpy as np
import pytest
from tests.benchmarks.suite.recordings import LOSSES, write_method, write_seed

from benchmarks.suite.measures import measured


def test_regret_is_the_truth_at_the_choice_minus_the_best_truth(tmp_path):
    losses = LOSSES.copy()
    losses[2] = 0.15  # the preview's favourite by either rule, by mistake
    write_method(write_seed(tmp_path), losses)
    found = measured(tmp_path)["methods"]["default"]["measures"]
    means = LOSSES.mean(axis=1)
    assert found["regret_mean"] == pytest.approx(means[2] - means.min())
    assert found["regret_worst"] == pytest.approx(0.7 - 0.4)


def test_the_worst_excess_is_over_the_tasks_own_finetunes(tmp_path):
    corners = np.array([[0.1, 2.0], [2.0, 0.6]])
    truth = np.array([[0.5, 0.9], [0.4, 1.0], [0.6, 0.8], [0.55, 0.85], [0.45, 0.95]])
    preview = truth.copy()
    preview[1] = [0.2, 0.7]
    write_method(write_seed(tmp_path, losses=truth, corners=corners), preview)
    # True excesses: 0.4, 0.4, 0.5, 0.45, 0.35; the chosen one is the second.
    found = measured(tmp_path)["methods"]["default"]["measures"]
    assert found["regret_worst"] == pytest.approx(0.4 - 0.35)
