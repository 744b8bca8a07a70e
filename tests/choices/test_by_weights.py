from __future__ import annotations

import numpy as np
import pytest

from paretomerge.choices import ByWeights, choose
from paretomerge.errors import WeightsError
from paretomerge.types import simplex_grid


def test_the_closest_weighting_is_chosen_whatever_the_order_of_the_tasks(front_of):
    weights = simplex_grid(3, 4)
    front = front_of(((weights[:, None] - np.eye(3)) ** 2).sum(axis=2), weights=weights, tasks="xyz")
    choice = choose(front, ByWeights({"z": 0.55, "x": 0.2, "y": 0.25}))
    assert choice.point.weights == {"x": 0.25, "y": 0.25, "z": 0.5}
    assert choice.rule == "closest to the task weights x=0.2, y=0.25, z=0.55 (distance 0.0707)"


def test_the_values_play_no_part(front_of):
    for unit in (1.0, -3.0):
        front = front_of(unit * np.array([[0.0, 1.0], [1.0, 0.0]]), "--" if unit > 0 else "++")
        assert choose(front, ByWeights({"x": 0.9, "y": 0.1})).point.id == 1


def test_weights_must_sum_to_one_when_the_fronts_do(front_of):
    with pytest.raises(WeightsError, match="sum to 3, not 1"):
        choose(front_of([[0.0, 1.0], [1.0, 0.0]]), ByWeights({"x": 2.0, "y": 1.0}))
    off = front_of([[0.0, 1.0], [1.0, 0.0]], weights=[[0.5, 0.0], [1.0, 2.0]])
    assert choose(off, ByWeights({"x": 2.0, "y": 1.0})).point.id == 1


def test_unknown_or_missing_tasks_are_refused(front_of):
    front = front_of([[0.0, 1.0], [1.0, 0.0]])
    with pytest.raises(WeightsError, match="unknown task 'w'"):
        choose(front, ByWeights({"x": 0.5, "w": 0.5}))
    with pytest.raises(WeightsError, match="no weight for task 'y'"):
        choose(front, ByWeights({"x": 1.0}))
    with pytest.raises(WeightsError, match="must be a mapping"):
        ByWeights([0.5, 0.5])


def test_later_changes_of_the_mapping_do_not_change_the_rule(front_of):
    given = {"x": 1.0, "y": 0.0}
    rule = ByWeights(given)
    given["x"] = 0.0
    assert rule == ByWeights({"x": 1.0, "y": 0.0})
