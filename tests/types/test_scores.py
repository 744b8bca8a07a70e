from __future__ import annotations

import numpy as np
import pytest

from paretomerge.errors import DataError
from paretomerge.types import Objective, Scores

OBJECTIVES = (Objective("a loss", task="a", metric="loss"), Objective("a accuracy", "maximise", task="a", metric="acc"))


def make(weights=((1.0, 0.0, 0.0), (0.0, 0.5, 0.5)), values=((1.0, 2.0), (3.0, 4.0)), stderr=None, origin="merged"):
    stderr = np.zeros_like(np.array(values)) if stderr is None else stderr
    return Scores(("a", "b", "c"), weights, values, stderr, OBJECTIVES, origin)


def test_arrays_are_checked_copied_and_frozen():
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    scores = make(values=values)
    values[:] = 0.0
    assert scores.values.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert len(scores) == 2
    assert scores.origin == ("merged", "merged")
    for array in (scores.values, scores.weights, scores.stderr):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": [[1.0, 2.0]]}, r"values have shape \[1, 2\], expected \[2, 2\] \(models × objectives\)"),
        ({"stderr": [[0.0], [0.0]]}, r"stderr have shape \[2, 1\], expected \[2, 2\]"),
        ({"values": [[1.0, 2.0], [3.0, float("nan")]]}, r"values contain nan \(model 1, objective 1\): a diverged"),
        ({"stderr": [[0.0, -1.0], [0.0, 0.0]]}, "standard errors are negative"),
        ({"origin": "guessed"}, "origin must be one of predicted, merged, trained for each of 2 models"),
        ({"origin": ("merged",)}, "origin must be one of"),
        ({"weights": np.ones((3, 2))}, r"weights have shape \[3, 2\], expected \[N, 3\]"),
        ({"weights": [[float("nan"), 0.5, 0.5], [1.0, 0.0, 0.0]]}, "weights contain nan"),
    ],
)
def test_scores_that_disagree_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        make(**change)


def test_there_may_be_no_scores_at_all():
    empty = make(weights=np.zeros((0, 3)), values=np.zeros((0, 2)))
    assert len(empty) == 0
    assert empty.weights.shape == (0, 3)
    assert len(make(weights=[], values=np.zeros((0, 2)))) == 0


def test_rows_are_taken_by_number_or_by_mask():
    scores = make(origin=("merged", "trained"))
    assert scores.take([1]).origin == ("trained",)
    assert scores.take(np.array([False, True])).values.tolist() == [[3.0, 4.0]]
    assert scores.take([1, 0]).weights.tolist() == [[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]
    assert len(scores.take([])) == 0


def test_objectives_are_selected_by_their_metric():
    assert make().select("acc").values.tolist() == [[2.0], [4.0]]
    with pytest.raises(DataError, match="no objective has the metric 'bleu'; the metrics are acc, loss"):
        make().select("bleu")


def test_scores_of_the_same_objectives_are_joined():
    joined = Scores.concatenate([make(), make(origin="trained")])
    assert joined.origin == ("merged", "merged", "trained", "trained")
    assert joined.values.shape == (4, 2)
    with pytest.raises(DataError, match="scores of different objectives or tasks cannot be concatenated"):
        Scores.concatenate([make(), make().select("acc")])
