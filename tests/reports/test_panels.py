"""What the panels of a figure show."""

import numpy as np
import pytest

from paretomerge.reports.panels import draw_parallel, draw_scatter, literal
from paretomerge.reports.points import points_of

pytest.importorskip("matplotlib")


@pytest.fixture
def axes():
    from matplotlib.figure import Figure

    return Figure().subplots()


def test_the_scatter_holds_every_point_and_labelled_axes(make_data, axes):
    points = points_of(make_data(2))
    draw_scatter(axes, points, [0, 1])
    drawn = np.concatenate([np.asarray(group.get_offsets()) for group in axes.collections if len(group.get_offsets())])
    wanted = points.values[:, [0, 1]]
    assert all(np.isclose(drawn, row).all(axis=1).any() for row in wanted)
    assert axes.get_xlabel() == "movie loss [nats], lower is better"
    assert axes.get_ylabel() == "amazon loss [nats], lower is better"


def test_better_is_up_on_every_parallel_axis(make_data, axes):
    points = points_of(make_data(2, accuracy=True))
    draw_parallel(axes, points, [0, 1, 2, 3])
    heights = np.array([line.get_ydata() for line in axes.lines if len(line.get_ydata()) == 4])
    low, high = points.values.min(axis=0), points.values.max(axis=0)
    expected = (points.values - low) / (high - low)
    expected[:, :2] = 1 - expected[:, :2]  # losses: the lowest is on top; accuracies: the highest
    np.testing.assert_allclose(np.sort(heights, axis=0), np.sort(expected, axis=0), atol=1e-12)


def test_dollars_are_no_mathematics(axes):
    axes.set_title(literal("$x^2$ and 5$"))
    axes.figure.canvas.draw()
    assert axes.title._preprocess_math(axes.title.get_text()) == ("$x^2$ and 5$", False)
