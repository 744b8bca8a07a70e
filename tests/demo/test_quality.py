from __future__ import annotations

import numpy as np
import pytest

from paretomerge.demo.quality import compare_all
from paretomerge.types import Objective, Scores

TASKS = ("a", "b", "c")
OBJECTIVES = (
    *(Objective(f"loss[{task}]", task=task, metric="loss") for task in TASKS),
    *(Objective(f"accuracy[{task}]", "maximise", task=task, metric="accuracy") for task in TASKS),
)
WEIGHTS = np.array([[0.25, 0.5, 0.25], [0.5, 0.25, 0.25], [0.25, 0.25, 0.5], [0.5, 0.5, 0.0]])


def _scores(weights: np.ndarray, shift: float, origin: str) -> Scores:
    losses = (1 - weights) ** 2 + shift
    return Scores(TASKS, weights, np.hstack([losses, 1 - losses / 4]), np.zeros((len(weights), 6)), OBJECTIVES, origin)  # type: ignore[arg-type]


def test_a_perfect_preview_has_no_error_and_a_shifted_one_its_shift() -> None:
    truth = _scores(WEIGHTS, 0.1, "trained")
    previews = {"perfect": _scores(WEIGHTS, 0.1, "merged"), "shifted": _scores(WEIGHTS, 0.3, "merged")}
    corners = _scores(np.eye(3), 0.1, "trained")
    rows, noise = compare_all(previews, truth, _scores(WEIGHTS, 0.11, "trained"), corners)
    perfect, shifted = rows
    assert (perfect["name"], shifted["name"]) == ("perfect", "shifted")
    assert perfect["loss_error"] == 0.0
    assert perfect["hypervolume_ratio"] == pytest.approx(1.0)
    assert perfect["igd_plus"] == pytest.approx(0.0, abs=1e-12)
    for name in ("loss_error", "loss_bias", "loss_error_interior", "loss_error_edges", "loss_error_unweighted"):
        assert shifted[name] == pytest.approx(0.2), name
    assert shifted["accuracy_error"] == pytest.approx(0.05)
    assert shifted["rank_correlation"] == pytest.approx(1.0)
    assert shifted["hypervolume_ratio"] < 1
    assert noise["loss_error"] == pytest.approx(0.01)


def test_errors_are_told_apart_inside_on_edges_and_on_unweighted_tasks() -> None:
    truth = _scores(WEIGHTS, 0.1, "trained")
    values = truth.values.copy()
    values[:3, :3] += 0.1  # inside the simplex
    values[3, :3] += [0.2, 0.2, 0.4]  # an edge: the last task has no weight
    preview = Scores(TASKS, WEIGHTS, values, truth.stderr, OBJECTIVES, "merged")  # type: ignore[arg-type]
    rows, _ = compare_all({"x": preview}, truth, truth, _scores(np.eye(3), 0.1, "trained"))
    assert rows[0]["loss_error_interior"] == pytest.approx(0.1)
    assert rows[0]["loss_error_edges"] == pytest.approx(0.2)
    assert rows[0]["loss_error_unweighted"] == pytest.approx(0.4)


def test_the_scalarised_loss_is_the_weighted_mean() -> None:
    truth = _scores(WEIGHTS, 0.0, "trained")
    corners = _scores(np.eye(3), 0.0, "trained")
    rows, _ = compare_all({"x": _scores(WEIGHTS, 0.0, "merged")}, truth, truth, corners)
    expected = np.mean([(row * (1 - row) ** 2).sum() for row in WEIGHTS])
    assert rows[0]["scalarised_loss"] == pytest.approx(expected)
