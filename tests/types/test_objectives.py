from __future__ import annotations

import numpy as np
import pytest

from paretomerge.errors import DataError
from paretomerge.types import Objective, from_minimised, to_minimised


def test_signs_turn_everything_to_be_minimised_and_back():
    objectives = (Objective("loss"), Objective("accuracy", "maximise"))
    values = np.array([[0.5, 0.9], [0.4, 0.8]])
    turned = to_minimised(values, objectives)
    assert turned.tolist() == [[0.5, -0.9], [0.4, -0.8]]
    assert np.array_equal(from_minimised(turned, objectives), values)


def test_the_task_is_the_name_unless_it_is_given():
    assert Objective("digits").task == "digits"
    assert Objective("digits accuracy", task="digits").task == "digits"


def test_impossible_objectives_are_refused():
    with pytest.raises(DataError, match="objective 'x': direction 'up' is not 'minimise' or 'maximise'"):
        Objective("x", "up")
    for bounds in ((1.0, 0.0), (1.0, 1.0)):
        with pytest.raises(DataError, match="are not increasing"):
            Objective("x", bounds=bounds)
    assert Objective("x", bounds=(0.0, None)).bounds == (0.0, None)
