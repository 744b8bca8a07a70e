"""Scores, front and choice become one table, each point once."""

import dataclasses

import numpy as np
import pytest

from paretomerge.reports.points import lines_of, links_of, on_simplex, points_of, ternary_xy, triangles_of
from paretomerge.types import simplex_grid


def test_front_points_among_the_scores_are_not_repeated(make_data):
    data = make_data(2)
    points = points_of(data)
    assert len(points) == len(data.scores)
    np.testing.assert_array_equal(points.weights[list(points.front)], data.front.weights)
    np.testing.assert_array_equal(points.values[list(points.front)], data.front.values)
    assert points.chosen == points.front[data.choice.id]


def test_a_choice_that_was_scored_again_is_a_point_of_its_own(make_data):
    data = make_data(2)
    values = {name: value + 0.01 for name, value in data.choice.values.items()}
    choice = dataclasses.replace(data.choice, values=values, origin="merged")
    points = points_of(dataclasses.replace(data, choice=choice))
    assert points.chosen == len(data.scores)
    assert points.values[points.chosen].tolist() == list(values.values())


def test_front_points_outside_the_scores_are_added_with_unknown_other_objectives(make_data):
    data = make_data(2, accuracy=True)
    predicted = np.array(data.scores.origin) == "predicted"
    points = points_of(dataclasses.replace(data, scores=data.scores.take(~predicted)))
    added = points.values[list(points.front)]
    assert len(points) == len(data.front) + (~predicted).sum()
    assert np.isfinite(added[:, :2]).all()
    assert np.isnan(added[:, 2:]).all()


def test_the_front_line_runs_along_the_first_objective(make_data):
    points = points_of(make_data(2))
    front, *others = lines_of(points, [0, 1])
    assert front.origin is None
    assert sorted(front.rows) == sorted(points.front)
    assert (np.diff(points.values[list(front.rows), 0]) >= 0).all()
    assert {line.origin for line in others} == {"merged", "trained"}
    for line in others:
        assert (np.diff(points.values[list(line.rows), 1]) < 0).all()


def test_other_objectives_than_the_front_has_show_each_origin_alone(make_data):
    data = make_data(2, accuracy=True)
    predicted = np.array(data.scores.origin) == "predicted"
    points = points_of(dataclasses.replace(data, scores=data.scores.take(~predicted)))
    assert {line.origin for line in lines_of(points, [2, 3])} == {"merged", "trained"}


def test_three_objectives_have_no_front_line(make_data):
    assert lines_of(points_of(make_data(3)), [0, 1, 2]) == []


def test_links_start_at_the_trained_point_of_the_same_weighting(make_data):
    points = points_of(make_data(3))
    links = links_of(points)
    assert len(links) == 2 * 6
    for truth, other in links:
        assert points.origin[truth] == "trained"
        assert points.origin[other] != "trained"
        np.testing.assert_allclose(points.weights[truth], points.weights[other])


def test_triangles_cover_the_simplex(make_data):
    points = points_of(make_data(3))
    triangles = triangles_of(points, "predicted")
    corners = ternary_xy(points.weights)[triangles]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    areas = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
    assert areas.sum() == pytest.approx(np.sqrt(3) / 4, rel=1e-12)


@pytest.mark.parametrize("tasks", [2, 5])
def test_only_three_tasks_have_triangles(make_data, tasks):
    assert len(triangles_of(points_of(make_data(tasks)), "predicted")) == 0


def test_weightings_on_one_line_have_no_triangles(make_data):
    data = make_data(3)
    edge = data.scores.weights[:, 2] == 0
    points = points_of(dataclasses.replace(data, scores=data.scores.take(edge), front=None, choice=None))
    assert len(points.rows("predicted")) > 3
    assert len(triangles_of(points, "predicted")) == 0


def test_signed_coefficients_are_not_on_the_simplex():
    weights = np.concatenate([simplex_grid(3, 2), [[1.2, -0.2, 0.0], [0.9, 0.9, 0.9]]])
    assert on_simplex(weights).tolist() == [True] * 6 + [False, False]


def test_coefficients_a_few_of_which_sum_to_one_are_not_mapped():
    weights = np.concatenate([np.eye(3), np.full((7, 3), 0.8)])
    assert not on_simplex(weights).any()
