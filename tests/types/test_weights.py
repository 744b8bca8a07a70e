from __future__ import annotations

from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from paretomerge.errors import WeightsError
from paretomerge.types import Coefficients, Weights, require_tasks, simplex_grid

TASKS = ("a", "b", "c")


@given(tasks=st.integers(1, 6), divisions=st.integers(1, 9))
def test_the_grid_has_every_weighting_once(tasks, divisions):
    grid = simplex_grid(tasks, divisions)
    assert grid.shape == (comb(divisions + tasks - 1, tasks - 1), tasks)
    assert np.allclose(grid.sum(1), 1.0)
    whole = np.round(grid * divisions)
    assert np.allclose(whole, grid * divisions)
    assert len(np.unique(whole, axis=0)) == len(grid)
    assert (grid >= 0).all()
    # Lexicographic order, from the last corner to the first.
    assert [tuple(row) for row in whole] == sorted(tuple(row) for row in whole)


@pytest.mark.parametrize(("tasks", "divisions"), [(0, 3), (2, 0), (-1, 1)])
def test_a_grid_of_nothing_is_refused(tasks, divisions):
    with pytest.raises(WeightsError, match=f"tasks >= 1 and divisions >= 1, got {tasks} and {divisions}"):
        simplex_grid(tasks, divisions)


@given(values=npst.arrays(np.float64, npst.array_shapes(max_dims=3, max_side=4), elements=st.floats(0, 10)))
def test_weights_keep_their_values_and_are_frozen(values):
    tasks = tuple(f"t{i}" for i in range(values.shape[-1]))
    weights = Weights(tasks, values, on_simplex=False)
    assert np.array_equal(weights.values, values)
    assert weights.batch.shape == (values.size // len(tasks), len(tasks))
    assert weights.totals == pytest.approx(weights.batch.sum(1))
    with pytest.raises(ValueError, match="read-only"):
        weights.values[...] = 0
    values[...] = -1.0
    assert (weights.values >= 0).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5, 0.7, -0.2], "weights are negative: a=0.5, b=0.7, c=-0.2. Task weights multiply losses"),
        ([[1.0, 0.0, 0.0], [0.5, 0.7, -0.2]], "weights are negative: a=0.5, b=0.7, c=-0.2"),
        ([0.5, 0.5, 0.5], "weights sum to 1.5, not 1: a=0.5, b=0.5, c=0.5. Divide them by their sum"),
        ([[1.0, 0.0, 0.0], [0.1, 0.2, 0.3]], "weights sum to 0.6, not 1: a=0.1, b=0.2, c=0.3"),
        ([0.5, 0.5, float("nan")], "weights contain NaN or infinity: a=0.5, b=0.5, c=nan"),
        ([[1.0, 0.0, 0.0], [0.5, float("inf"), 0.0]], "weights contain NaN or infinity: a=0.5, b=inf"),
        ([0.5, 0.5], r"weights have shape \[2\], but there are 3 tasks \(a, b, c\)"),
        (1.0, r"weights have shape \[\]"),
        (np.zeros((0, 3)), "weights are empty: give at least one weighting"),
        (["x", "y", "z"], "weights must be numbers, got"),
        ([[1.0], [0.5, 0.5]], "weights must be numbers"),
    ],
)
def test_impossible_weights_are_refused(values, message):
    with pytest.raises(WeightsError, match=message):
        Weights(TASKS, values)


def test_sums_may_be_off_by_rounding():
    Weights(TASKS, [0.3333334, 0.3333333, 0.3333333])
    with pytest.raises(WeightsError, match="not 1"):
        Weights(TASKS, [0.33334, 0.33333, 0.33334])


def test_task_names_are_needed_and_differ():
    with pytest.raises(WeightsError, match="no tasks: at least one is needed"):
        Weights((), [])
    with pytest.raises(WeightsError, match="task names repeat: a, b, a"):
        Weights(("a", "b", "a"), [1.0, 0.0, 0.0])


def test_weights_are_put_in_task_order():
    for given_ in (
        {"c": 0.5, "a": 0.2, "b": 0.3},
        [0.2, 0.3, 0.5],
        torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64, requires_grad=True),
        Weights(("c", "a", "b"), [0.5, 0.2, 0.3]),
    ):
        assert Weights.of(given_, TASKS).as_mapping() == {"a": 0.2, "b": 0.3, "c": 0.5}


def test_a_mapping_has_one_number_per_task():
    with pytest.raises(WeightsError, match=r"one number per task; for several weightings give an array \[K, T\]"):
        Weights.of({"a": [0.5, 0.5], "b": [0.5, 0.5]}, ("a", "b"))


def test_a_batch_is_no_single_mapping():
    with pytest.raises(WeightsError, match="2 weightings where one was expected"):
        Weights(("a", "b"), [[0.5, 0.5], [1.0, 0.0]]).as_mapping()


def test_unknown_and_missing_tasks_are_named():
    require_tasks(["b", "a"], ["a", "b"])
    with pytest.raises(WeightsError, match=r"unknown task 'sentimet' \(did you mean 'sentiment'\?\): the tasks are"):
        require_tasks(["sentimet"], ["sentiment", "topics"])
    with pytest.raises(WeightsError, match="unknown task 'x': the tasks are sentiment"):
        require_tasks(["x"], ["sentiment"])
    with pytest.raises(WeightsError, match="no weight for task 'b': give one for each of a, b"):
        require_tasks(["a"], ["a", "b"])
    with pytest.raises(WeightsError, match="unknown task 'd'"):
        Weights.of(Weights(("a", "d"), [0.5, 0.5]), ("a", "b"))


def test_coefficients_have_groups_and_any_sign():
    coefficients = Coefficients(TASKS, [[[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]]], ("body", "head"))
    assert coefficients.batch.shape == (1, 2, 3)
    assert Coefficients.of(coefficients, ("c", "a", "b")).values[0, 1].tolist() == [1.0, 0.0, 3.0]
    assert Coefficients.of([[1.0, -1.0]], ("a", "b")).values.shape == (1, 1, 2)
    assert Coefficients.of(Weights(("b", "a"), [0.25, 0.75]), ("a", "b")).values.tolist() == [[0.75, 0.25]]
    with pytest.raises(WeightsError, match=r"shape \[3\], expected \[\.\.\., 1 groups, 3 tasks\]"):
        Coefficients(TASKS, [1.0, 2.0, 3.0])
    with pytest.raises(WeightsError, match=r"expected \[\.\.\., 2 groups, 3 tasks\]"):
        Coefficients(TASKS, [[1.0, 2.0, 3.0]], ("body", "head"))
    with pytest.raises(WeightsError, match="coefficients contain NaN"):
        Coefficients(TASKS, [[1.0, 2.0, float("nan")]])


def test_a_text_is_no_list_of_tasks() -> None:
    with pytest.raises(WeightsError, match=r"write \['ab'\]"):
        Weights("ab", [0.5, 0.5])  # type: ignore[arg-type]
