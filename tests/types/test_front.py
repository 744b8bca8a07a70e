from __future__ import annotations

import numpy as np
import pytest

from paretomerge.errors import DataError
from paretomerge.types import Front, Objective

LOSSES = (Objective("a"), Objective("b"))


def make(values=((0.0, 1.0), (0.4, 0.4), (1.0, 0.0)), objectives=LOSSES, reference=(1.1, 1.1), weights=None):
    count = len(values)
    first = np.linspace(0, 1, count)
    weights = np.stack([first, 1 - first], 1) if weights is None else weights
    return Front(("a", "b"), weights, values, 0.1 * np.ones((count, len(objectives))), objectives, reference, "merged")


def test_points_carry_everything_there_is_to_know_about_them():
    front = make()
    assert len(front) == 3
    point = front[1]
    assert point.id == 1
    assert point.weights == {"a": 0.5, "b": 0.5}
    assert point.values == {"a": 0.4, "b": 0.4}
    assert point.stdev == {"a": 0.1, "b": 0.1}
    assert point.origin == "merged"
    assert [p.id for p in front] == [0, 1, 2]
    assert front[-1].id == 2
    for outside in (3, -4):
        with pytest.raises(IndexError, match="points 0 to 2"):
            front[outside]


def test_a_dominated_point_is_refused():
    with pytest.raises(DataError, match="point 1 is dominated: filter with is_nondominated first"):
        make(((0.0, 1.0), (0.5, 1.1), (1.0, 0.0)))
    with pytest.raises(DataError, match="point 2 is dominated"):
        make(((0.0, 1.0), (0.4, 0.4), (0.4, 0.5)))


def test_directions_decide_what_dominates():
    both_up = tuple(Objective(name, "maximise") for name in "ab")
    make(((0.0, 1.0), (1.0, 0.0)), both_up)
    with pytest.raises(DataError, match="point 0 is dominated"):
        make(((0.4, 0.4), (0.5, 0.5)), both_up)
    with pytest.raises(DataError, match="point 1 is dominated"):
        make(((0.4, 0.4), (0.5, 0.5)))


def test_equal_points_may_both_stay():
    assert len(make(((0.4, 0.4), (0.4, 0.4)))) == 2


def test_an_empty_front_and_a_wrong_reference_point_are_refused():
    with pytest.raises(DataError, match="a front needs at least one point"):
        make(np.zeros((0, 2)), weights=np.zeros((0, 2)))
    with pytest.raises(DataError, match=r"the reference point has shape \[3\], expected \[2\]"):
        make(reference=(1.0, 1.0, 1.0))
    with pytest.raises(DataError, match="values contain nan"):
        make(((0.0, float("nan")),))
