"""The small picture of notebooks."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from paretomerge.reports import ReportData
from paretomerge.reports.points import points_of
from paretomerge.reports.thumbnail import HEIGHT, MOST_POINTS, WIDTH, thumbnail_svg
from paretomerge.types import Objective, Scores


def elements(svg: str, tag: str) -> list[ElementTree.Element]:
    return [node for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("}" + tag)]


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_nothing_lies_outside_the_picture(make_data, tasks):
    points = points_of(make_data(tasks, accuracy=True))
    for columns in (range(tasks), range(2 * tasks)):
        svg = thumbnail_svg(points, columns)
        for node in ElementTree.fromstring(svg).iter():
            for name, value in node.attrib.items():
                if name in ("x", "x1", "x2", "cx"):
                    assert 0 <= float(value) <= WIDTH
                if name in ("y", "y1", "y2", "cy"):
                    assert 0 <= float(value) <= HEIGHT


def test_more_objectives_are_lines_on_which_better_is_up(make_data):
    data = make_data(2, accuracy=True)
    points = points_of(data)
    lines = elements(thumbnail_svg(points, range(4)), "polyline")
    assert len(lines) == len(points)
    chosen = lines[-1]  # drawn last, on top
    assert chosen.get("stroke") == "currentColor"
    heights = np.array([[float(pair.split(",")[1]) for pair in line.get("points").split()] for line in lines[:-1]])
    rows = [row for origin in ("predicted", "merged", "trained") for row in points.rows(origin) if row != points.chosen]
    values = points.values[rows] * [1, 1, -1, -1]  # minimised
    for column in range(4):
        assert np.array_equal(np.argsort(heights[:, column], kind="stable")[:1], [np.argmin(values[:, column])])


def test_a_crowd_is_thinned_out():
    count = 3 * MOST_POINTS
    line = np.linspace(0, 1, count)
    values = np.stack([line, 1 - line], axis=1)
    objectives = (Objective("a"), Objective("b"))
    scores = Scores(("a", "b"), values, values, values * 0, objectives, "predicted")
    svg = thumbnail_svg(points_of(ReportData.of_scores(scores)), (0, 1))
    assert len(elements(svg, "circle")) == MOST_POINTS


def test_one_objective_or_no_point_has_no_picture(make_data):
    data = make_data(2)
    assert thumbnail_svg(points_of(data), (0,)) == ""
    assert thumbnail_svg(points_of(ReportData.of_scores(data.scores.take([]))), (0, 1)) == ""


def test_readers_of_screens_are_told_what_it_is(make_data):
    svg = thumbnail_svg(points_of(make_data(2)), (0, 1))
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == "31 points: movie loss and amazon loss"
