"""What a report refuses to show."""

import dataclasses

import numpy as np
import pytest

from paretomerge.errors import DataError
from paretomerge.reports import ReportData
from paretomerge.types import FrontPoint, Objective, Scores


def test_parts_are_copied_into_plain_containers(make_data):
    data = make_data(2)
    assert isinstance(data.objectives, tuple)
    assert isinstance(data.methods, tuple)
    assert dataclasses.replace(data, title="other").title == "other"


def test_an_objective_that_the_scores_lack_is_named(make_data):
    data = make_data(2)
    with pytest.raises(DataError, match=r"the report has objectives that the scores lack: perplexity\. The scores"):
        dataclasses.replace(data, objectives=[Objective("perplexity")])


def test_no_objective_is_refused(make_data):
    with pytest.raises(DataError, match="at least one objective"):
        dataclasses.replace(make_data(2), objectives=[])


def test_a_front_of_other_tasks_is_refused(make_data):
    data = make_data(2)
    front = dataclasses.replace(data.front, tasks=("tweets", "movie"))
    with pytest.raises(DataError, match="the front has the tasks tweets, movie, the scores have movie, amazon"):
        dataclasses.replace(data, front=front)


def test_a_choice_with_weights_for_other_tasks_is_refused(make_data):
    data = make_data(2)
    choice = FrontPoint(0, {"cats": 1.0}, dict(data.choice.values), {}, "merged")
    with pytest.raises(DataError, match="the choice has weights for cats"):
        dataclasses.replace(data, choice=choice)


def test_an_unknown_cost_is_named_with_the_known_ones(make_data):
    with pytest.raises(DataError, match=r"'merging' has unknown costs euros: .*trainings, gradient_passes"):
        dataclasses.replace(make_data(2), ledger={"merging": {"euros": 3.0}})


def test_repeated_objective_names_are_refused():
    twice = (Objective("a"), Objective("a"))
    scores = Scores(("a", "b"), np.eye(2), np.eye(2), np.zeros((2, 2)), twice, "merged")
    with pytest.raises(DataError, match="objective names repeat"):
        ReportData.of_scores(scores)
