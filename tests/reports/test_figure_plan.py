"""What a figure shows, and which kind of picture suits it."""

import dataclasses

import pytest

from paretomerge.errors import DataError
from paretomerge.reports.figure_plan import plan_figure, shown_objectives, suitable_kind
from paretomerge.reports.points import points_of
from paretomerge.types import Scores


def signed(scores: Scores) -> Scores:
    return dataclasses.replace(scores, weights=scores.weights * 2 - 0.5)


@pytest.mark.parametrize(("tasks", "kind"), [(2, "scatter"), (3, "maps"), (5, "parallel")])
def test_the_kind_follows_from_the_number_of_objectives(make_data, tasks, kind):
    plan = plan_figure(make_data(tasks), None, None, 6.75)
    assert plan.kind == kind
    assert plan.columns == list(range(tasks))


def test_three_objectives_over_other_coordinates_than_task_weights_are_a_matrix_of_scatters(make_data):
    data = make_data(3)
    points = points_of(dataclasses.replace(data, scores=signed(data.scores), front=None, choice=None))
    assert suitable_kind(None, points, 3) == "scatter"
    with pytest.raises(DataError, match="maps are drawn over three task weights that sum to one"):
        suitable_kind("maps", points, 3)


def test_more_objectives_than_have_room_are_parallel(make_data):
    points = points_of(make_data(3))
    assert suitable_kind(None, points, 6) == "maps"
    assert suitable_kind(None, points, 7) == "parallel"
    assert suitable_kind("parallel", points, 7) == "parallel"
    for kind in ("maps", "scatter"):
        assert suitable_kind(kind, points, 6) == kind
        with pytest.raises(DataError, match=f"7 objectives are too many for '{kind}', which has room for 6"):
            suitable_kind(kind, points, 7)


def test_an_unknown_kind_names_the_nearest(make_data):
    with pytest.raises(DataError, match=r"unknown kind of figure 'mapps' \(did you mean 'maps'\?\)"):
        suitable_kind("mapps", points_of(make_data(3)), 3)


def test_a_metric_chooses_the_objectives(make_data):
    data = make_data(2, accuracy=True)
    assert shown_objectives(data) == data.objectives
    assert [o.name for o in shown_objectives(data, "accuracy")] == ["movie accuracy", "amazon accuracy"]
    assert plan_figure(data, "accuracy", None, 6.75).columns == [2, 3]


def test_the_band_is_that_of_the_objectives_on_the_axes(make_data):
    data = make_data(2, full=True)
    assert plan_figure(data, None, None, 6.75).band is not None
    assert plan_figure(dataclasses.replace(data, uncertainty=None), None, None, 6.75).band is None
    assert plan_figure(make_data(3, full=True), None, None, 6.75).band is None
