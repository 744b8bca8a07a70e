"""Where on the simplex errors are."""

from __future__ import annotations

import numpy as np
import pytest
from tests.benchmarks.suite.recordings import write_method, write_seed

from benchmarks.suite.measures import measured


def test_errors_inside_on_edges_and_of_tasks_without_weight_are_apart(tmp_path):
    weights = np.array([[0.5, 0.25, 0.25], [0.5, 0.5, 0.0], [0.25, 0.25, 0.5]])
    truth = 0.3 + (1 - weights)
    off = np.array([[0.1, 0.1, 0.1], [0.2, 0.2, 0.8], [0.1, 0.1, 0.1]])
    folder = write_seed(tmp_path, [], truth, weights, 0.2 + 2 * (1 - np.eye(3)))
    write_method(folder, truth + off, weights=weights)
    found = measured(folder)["methods"]["default"]["measures"]
    assert found["loss_error_interior"] == pytest.approx(0.1)
    assert found["loss_error_edges"] == pytest.approx(0.2)
    assert found["loss_error_unweighted"] == pytest.approx(0.8)
    assert found["loss_error"] == pytest.approx(1.8 / 9)
    assert found["scalarised_loss"] == pytest.approx(((truth + off) * weights).sum(axis=1).mean())
