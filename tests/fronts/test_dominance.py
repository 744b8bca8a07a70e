from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paretomerge.errors import DataError
from paretomerge.fronts import front_from_scores, is_nondominated, nondominated_scores, reference_point
from paretomerge.types import Objective

TABLES = st.tuples(st.integers(1, 12), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(-3, 3).map(float))
)


def naive(values: np.ndarray, keep_weakly: bool) -> list[bool]:
    """The definition, pair by pair."""
    kept = []
    for i, v in enumerate(values):
        dominated = any((u <= v).all() and (u < v).any() for u in values)
        copy = any((u == v).all() for u in values[:i])
        kept.append(not dominated and (keep_weakly or not copy))
    return kept


@given(values=TABLES, keep_weakly=st.booleans())
def test_it_is_the_definition_of_pareto_dominance(values, keep_weakly):
    assert is_nondominated(values, keep_weakly=keep_weakly).tolist() == naive(values, keep_weakly)


@given(values=TABLES, flips=st.lists(st.booleans(), min_size=4, max_size=4))
def test_a_maximised_objective_is_a_minimised_one_with_the_sign_flipped(values, flips):
    flips = flips[: values.shape[1]]
    objectives = [Objective(str(m), "maximise" if flip else "minimise") for m, flip in enumerate(flips)]
    signs = np.where(flips, -1.0, 1.0)
    assert is_nondominated(values * signs, objectives).tolist() == is_nondominated(values).tolist()


def test_no_points_are_no_answer():
    assert is_nondominated(np.zeros((0, 2))).tolist() == []


def test_the_front_keeps_the_points_their_weightings_and_their_errors(scores_of):
    stderr = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    scores = scores_of([[1.0, 0.5], [2.0, 0.4], [3.0, 0.9]], "-+", stderr=stderr)
    kept = nondominated_scores(scores)
    assert kept.values.tolist() == [[1.0, 0.5], [3.0, 0.9]]
    front = front_from_scores(scores)
    assert front.values.tolist() == kept.values.tolist()
    assert front.weights.tolist() == scores.weights[[0, 2]].tolist()
    assert front.stdev.tolist() == stderr[[0, 2]].tolist()
    assert front.origin == ("merged", "merged")


def test_the_reference_point_looks_at_dominated_points_too(scores_of):
    scores = scores_of([[0.0, 1.0], [1.0, 0.0], [4.0, 2.0]])
    assert front_from_scores(scores).reference.tolist() == pytest.approx([4.4, 2.2], abs=1e-15)
    assert front_from_scores(scores).reference.tolist() == reference_point(scores).tolist()
    assert front_from_scores(scores, [5, 6]).reference.tolist() == [5.0, 6.0]


def test_an_empty_set_of_scores_is_no_front(scores_of):
    with pytest.raises(DataError, match="at least one score"):
        front_from_scores(scores_of([[1.0, 1.0]]).take(np.zeros(0, dtype=int)))
