from __future__ import annotations

import numpy as np
import pytest

from paretomerge.errors import DataError
from paretomerge.fronts import minimised_values, normalised_values
from paretomerge.types import Objective

LOSS, ACCURACY = Objective("loss"), Objective("accuracy", "maximise")


def test_an_array_is_copied_and_turned_by_its_objectives():
    given = np.array([[1.0, 2.0]])
    turned = minimised_values(given, [LOSS, ACCURACY])
    assert turned.tolist() == [[1.0, -2.0]]
    plain = minimised_values(given)
    plain[0, 0] = 9.0
    assert given.tolist() == [[1.0, 2.0]]


def test_scores_bring_their_own_directions(scores_of):
    assert minimised_values(scores_of([[1.0, 2.0]], "-+")).tolist() == [[1.0, -2.0]]


def test_scores_with_other_objectives_than_given_are_refused(scores_of):
    scores = scores_of([[1.0, 2.0]], "-+")
    assert minimised_values(scores, scores.objectives).tolist() == [[1.0, -2.0]]
    with pytest.raises(DataError, match=r"a \(minimise\), b \(maximise\), but loss \(minimise\)"):
        minimised_values(scores, [LOSS, ACCURACY])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([1.0, 2.0], "expected \\[points, objectives\\]"),
        ([[1.0, np.nan]], "nan \\(point 0, objective 1\\)"),
        ([[0.0, 0.0], [np.inf, 1.0]], "inf \\(point 1, objective 0\\)"),
        ([["a", "b"]], "table of numbers"),
        ([[1.0], [1.0, 2.0]], "table of numbers"),
        (np.zeros((3, 0)), "expected \\[points, objectives\\]"),
    ],
)
def test_what_is_no_table_of_finite_numbers_is_refused(bad, message):
    with pytest.raises(DataError, match=message):
        minimised_values(bad)


def test_a_column_too_many_is_refused():
    with pytest.raises(DataError, match="3 columns, but there are 2 objectives"):
        minimised_values(np.zeros((1, 3)), [LOSS, ACCURACY])


def test_normalisation_maps_the_reference_to_the_unit_box_and_shifts_a_constant_column():
    reference = np.array([[1.0, 5.0, 7.0], [3.0, 1.0, 7.0]])
    assert normalised_values(reference, reference).tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    assert normalised_values(np.array([[2.0, 3.0, 9.5]]), reference).tolist() == [[0.5, 0.5, 2.5]]
