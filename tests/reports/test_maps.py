"""Ternary maps."""

import numpy as np
import pytest

from paretomerge.reports import PredictedGrid
from paretomerge.reports.maps import draw_map, ground_of
from paretomerge.reports.points import points_of, ternary_xy
from paretomerge.types import Objective, simplex_grid

pytest.importorskip("matplotlib")


@pytest.fixture
def axes():
    from matplotlib.figure import Figure

    return Figure().subplots()


def grid_of(data, names=None, divisions=24) -> PredictedGrid:
    weights = simplex_grid(3, divisions)
    objectives = data.objectives if names is None else tuple(Objective(name) for name in names)
    values = np.stack([weights @ [1.0, 2.0, 3.0] + m for m in range(len(objectives))], axis=1)
    exact = np.zeros(len(objectives))
    return PredictedGrid(
        tasks=data.scores.tasks, objectives=objectives, divisions=divisions, values=values, lower=values, upper=values,
        level=0.9, error=exact, edge_error=exact, far=np.zeros(len(weights), dtype=bool),
    )  # fmt: skip


def test_the_ground_is_the_grid_where_it_knows_the_objective(make_data):
    data = make_data(3)
    points = points_of(data)
    ground = ground_of(points, 1, grid_of(data))
    assert ground.origin == "predicted"
    np.testing.assert_allclose(ground.values, simplex_grid(3, 24) @ [1.0, 2.0, 3.0] + 1)
    np.testing.assert_allclose(ground.xy, ternary_xy(simplex_grid(3, 24)))
    other = ground_of(points, 1, grid_of(data, ["x"]))
    np.testing.assert_allclose(other.values, points.values[:, 1])


def test_the_points_of_a_full_grid_are_a_ground(make_data):
    points = points_of(make_data(3))
    ground = ground_of(points, 0)
    assert ground.origin == "predicted"
    assert {points.origin[row] for row in np.unique(ground.triangles)} == {"predicted"}


def test_points_that_leave_gaps_or_are_few_are_no_ground(make_data):
    data = make_data(3)
    scores = data.scores
    inner = (scores.weights.max(axis=1) < 0.9) & (np.array(scores.origin) == "predicted")
    assert ground_of(points_of(type(data).of_scores(scores.take(inner))), 0) is None
    measured = np.array(scores.origin) != "predicted"  # six each: the corners and the middles of the sides
    assert ground_of(points_of(type(data).of_scores(scores.take(measured))), 0) is None


def test_models_carry_the_colour_of_their_value_on_the_scale_of_the_ground(make_data, axes):
    data = make_data(3)
    points = points_of(data)
    draw_map(axes, points, 0, grid_of(data))
    bar = axes.figure.axes[-1]
    assert bar.get_xlabel() == "movie loss [nats]\nlower is better"
    merged = [group for group in axes.collections if group.get_array() is not None and len(group.get_offsets()) == 6]
    assert len(merged) == 2  # merged and trained; predictions are the ground
    low, high = merged[0].norm.vmin, merged[0].norm.vmax
    assert low == min(points.values[points.rows("merged") + points.rows("trained"), 0].min(), 1.0)
    assert high == 3.0
    np.testing.assert_array_equal(merged[0].get_array(), points.values[points.rows("merged"), 0])
    assert merged[0].get_cmap().name == "viridis_r"  # bright is better, and low is better


def test_an_objective_that_is_the_same_everywhere_is_drawn(make_data, axes):
    data = make_data(3)
    points = points_of(data)
    points.values[:, 0] = 0.25
    draw_map(axes, points, 0)
    axes.figure.canvas.draw()


def test_corners_are_named_after_their_tasks(make_data, axes):
    draw_map(axes, points_of(make_data(3)), 0)
    corners = {text.get_text(): text.xy for text in axes.texts}
    assert corners["movie"] == (0, 0)
    assert corners["amazon"] == (1, 0)
    assert corners["tweets"] == (0.5, float(np.sqrt(0.75)))
