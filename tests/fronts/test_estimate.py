from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from paretomerge.errors import DataError, WeightsError
from paretomerge.fronts import Predictor, estimate_front, front_from_scores, reference_point
from paretomerge.types import Objective, Scores, Weights, simplex_grid


@dataclass
class Distances:
    """A fitted surrogate with a known front: objective `t` is the squared distance to corner `t`."""

    tasks: tuple[str, ...] = ("x", "y", "z")
    broken: str = ""

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return tuple(Objective(task) for task in self.tasks)

    def predict(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = ((weights[:, None] - np.eye(len(self.tasks))) ** 2).sum(axis=2)
        if self.broken == "nan":
            mean[0, 0] = np.nan
        if self.broken == "shape":
            mean = mean[:, :1]
        return mean, 0.01 + 0.1 * weights


def test_a_surrogate_is_evaluated_on_a_simplex_grid():
    surrogate = Distances()
    assert isinstance(surrogate, Predictor)
    front = estimate_front(surrogate)
    assert len(front) == 66
    assert np.array_equal(front.weights, simplex_grid(3, 10))
    mean, stdev = surrogate.predict(front.weights)
    assert np.array_equal(front.values, mean)
    assert np.array_equal(front.stdev, stdev)
    assert set(front.origin) == {"predicted"}
    assert len(estimate_front(Distances(("x", "y")))) == 11
    assert len(estimate_front(surrogate, divisions=2)) == 6


def test_given_weightings_replace_the_grid_and_dominated_ones_are_dropped():
    """On `(x, y)` corners only: putting weight on the unused corner `z` is dominated for two objectives."""

    class FirstTwo(Distances):
        @property
        def objectives(self) -> tuple[Objective, ...]:
            return (Objective("x"), Objective("y"))

        def predict(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            mean, stdev = super().predict(weights)
            return mean[:, :2], stdev[:, :2]

    given = np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0.25, 0.25, 0.5], [0, 1.0, 0]])
    front = estimate_front(FirstTwo(), given)
    assert np.array_equal(front.weights, given[[0, 1, 3]])
    assert front.reference.tolist() == pytest.approx([2.2, 2.2], abs=1e-15)
    named = Weights(("z", "x", "y"), given[:, [2, 0, 1]])
    assert np.array_equal(estimate_front(FirstTwo(), named, reference=[3, 3]).weights, given[[0, 1, 3]])
    assert len(estimate_front(FirstTwo(), {"x": 1.0, "y": 0.0, "z": 0.0})) == 1
    off = Weights(("x", "y", "z"), [[0.5, 0.0, 0.0]], on_simplex=False)
    assert estimate_front(FirstTwo(), off).weights.tolist() == [[0.5, 0.0, 0.0]]


def test_scores_are_filtered_and_keep_their_origin(scores_of):
    scores = scores_of([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]], origin="trained")
    front = estimate_front(scores)
    assert front.values.tolist() == front_from_scores(scores).values.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert front.reference.tolist() == reference_point(scores).tolist()
    assert front.origin == ("trained", "trained")
    assert estimate_front(scores, reference=[7, 8]).reference.tolist() == [7.0, 8.0]


def test_weights_are_refused_with_scores(scores_of):
    scores: Scores = scores_of([[0.0, 1.0]])
    with pytest.raises(DataError, match="scores have their own weightings"):
        estimate_front(scores, [[0.5, 0.5]])


def test_a_surrogate_that_returns_nonsense_is_named():
    with pytest.raises(DataError, match=r"Distances returned means of shape \[66, 3\] \(1 not finite\)"):
        estimate_front(Distances(broken="nan"))
    with pytest.raises(DataError, match=r"means of shape \[66, 1\].*expected \[66, 3\]"):
        estimate_front(Distances(broken="shape"))


def test_what_is_no_surrogate_is_refused():
    with pytest.raises(DataError, match="not from str: has the surrogate been fitted"):
        estimate_front("surrogate")


def test_weightings_that_do_not_fit_are_refused():
    with pytest.raises(WeightsError, match="one entry per task"):
        estimate_front(Distances(), [[0.5, 0.5]])
    with pytest.raises(WeightsError, match="sum to 0\\.5"):
        estimate_front(Distances(), [[0.5, 0.0, 0.0]])


def test_a_grid_that_would_not_fit_in_memory_is_refused_before_it_is_made():
    with pytest.raises(DataError, match="30045015 weightings for 21 tasks"):
        estimate_front(Distances(tuple("abcdefghijklmnopqrstu")), divisions=10)
    with pytest.raises(WeightsError, match="divisions >= 1"):
        estimate_front(Distances(), divisions=0)
