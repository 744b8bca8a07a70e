from __future__ import annotations

import numpy as np
import pytest
from tests.fronts.search.exact import exact

from paretomerge.errors import DataError
from paretomerge.fronts.predictions import predicted_scores


def test_predictions_are_the_same_in_batches_and_say_that_they_are_predicted():
    surrogate = exact(3)
    points = surrogate.domain.spread(9000)
    scores = predicted_scores(surrogate, points)
    assert np.array_equal(scores.values, surrogate.values(points))
    assert (scores.stderr == 0.01).all()
    assert np.array_equal(scores.weights, points)
    assert scores.tasks == surrogate.tasks
    assert set(scores.origin) == {"predicted"}
    assert max(surrogate.asked) <= 4096
    assert sum(surrogate.asked) == 9000


def test_no_points_are_no_scores():
    assert len(predicted_scores(exact(2), np.zeros((0, 2)))) == 0


def test_a_prediction_that_is_not_finite_is_refused():
    surrogate = exact(2)
    surrogate.e = np.array([0.0, np.nan])
    with pytest.raises(DataError, match=r"Exact returned means of shape \[3, 2\] \(3 not finite\)"):
        predicted_scores(surrogate, surrogate.domain.spread(3))
