"""Pictures are drawn for any number of objectives and written in one step."""

import dataclasses
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from paretomerge.errors import DataError, MissingExtraError, StorageError
from paretomerge.reports import draw_front
from paretomerge.reports.figure import mapped_objective, shown_objectives
from paretomerge.reports.points import points_of
from paretomerge.types import Objective, Scores

pytest.importorskip("matplotlib")


def pixels(path) -> np.ndarray:
    from matplotlib.image import imread

    return imread(path)


def has_colour(image: np.ndarray, code: str) -> bool:
    wanted = np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return bool((np.abs(image[..., :3] - wanted).max(axis=-1) < 0.02).any())


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_every_origin_is_seen_in_its_colour(make_data, tmp_path, tasks):
    from paretomerge.reports.marks import CHOSEN_COLOUR, MARKS

    path = draw_front(make_data(tasks), tmp_path / "front.png")
    image = pixels(path)
    assert image.shape[0] > 700
    assert image.shape[1] > 1000
    for mark in MARKS.values():
        assert has_colour(image, mark.light)
    assert has_colour(image, CHOSEN_COLOUR)
    assert [found.name for found in tmp_path.iterdir()] == ["front.png"]


def test_svg_is_well_formed_with_hostile_names_and_the_same_every_time(make_data, tmp_path):
    data = make_data(3, hostile=True)
    first = draw_front(data, tmp_path / "a.svg").read_bytes()
    assert draw_front(data, tmp_path / "b.svg").read_bytes() == first
    root = ElementTree.fromstring(first)
    assert sum(1 for _ in root.iter()) > 500
    assert not [node for node in root.iter() if node.tag.endswith("script")]


def test_scores_alone_are_drawn(make_data, tmp_path):
    assert draw_front(make_data(2).scores, str(tmp_path / "scores.svg")).stat().st_size > 10_000


def test_a_metric_chooses_the_objectives(make_data, tmp_path):
    data = make_data(2, accuracy=True)
    assert shown_objectives(data) == data.objectives
    assert [o.name for o in shown_objectives(data, "accuracy")] == ["movie accuracy", "amazon accuracy"]
    loss = draw_front(data, tmp_path / "loss.svg").read_bytes()
    assert draw_front(data, tmp_path / "accuracy.svg", metric="accuracy").read_bytes() != loss
    with pytest.raises(DataError, match="no objective has the metric 'bleu'; the metrics are accuracy, loss"):
        draw_front(data, tmp_path / "none.svg", metric="bleu")


def test_signed_weights_of_three_tasks_are_drawn_without_a_map(make_data, tmp_path):
    data = make_data(3)
    scores = data.scores
    signed = Scores(
        scores.tasks, scores.weights * 2 - 0.5, scores.values, scores.stderr, scores.objectives, scores.origin
    )
    assert draw_front(signed, tmp_path / "signed.png").stat().st_size > 10_000


def test_the_map_shows_the_mean_of_comparable_objectives_only(make_data):
    points = points_of(make_data(3, accuracy=True))
    values, name, _ = mapped_objective(points, [0, 1, 2])
    assert name == "Mean loss"
    np.testing.assert_allclose(values, points.values[:, :3].mean(axis=1), rtol=1e-15)
    values, name, _ = mapped_objective(points, [0, 1, 3])
    assert name == "movie loss"
    np.testing.assert_array_equal(values, points.values[:, 0])


def test_equal_values_everywhere_are_drawn(tmp_path):
    tasks = ("a", "b", "c", "d")
    objectives = tuple(Objective(task) for task in tasks)
    for count in (2, 3, 4):
        scores = Scores(
            tasks[:count],
            np.eye(count),
            np.ones((count, count)),
            np.zeros((count, count)),
            objectives[:count],
            "merged",
        )
        assert draw_front(scores, tmp_path / f"{count}.png").stat().st_size > 5_000


def test_another_ending_is_refused(make_data, tmp_path):
    with pytest.raises(DataError, match=r"cannot draw 'front\.jpg': the name must end in \.png or \.svg"):
        draw_front(make_data(2), tmp_path / "front.jpg")


def test_nothing_to_draw_is_said(make_data, tmp_path):
    with pytest.raises(DataError, match="nothing to draw"):
        draw_front(make_data(2).scores.take([]), tmp_path / "front.png")


def test_one_objective_is_no_trade_off(make_data, tmp_path):
    data = make_data(2)
    with pytest.raises(DataError, match=r"one objective \(movie loss\) has no trade-off"):
        draw_front(dataclasses.replace(data, objectives=data.objectives[:1]), tmp_path / "front.png")


def test_without_matplotlib_the_extra_is_named(make_data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'paretomerge\[report\]'"):
        draw_front(make_data(2), tmp_path / "front.png")
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_a_storage_error(make_data, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write"):
        draw_front(make_data(2), tmp_path / "file" / "front.png")


def test_the_callers_matplotlib_settings_are_left_alone(make_data, tmp_path):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    draw_front(make_data(2), tmp_path / "front.svg")
    assert dict(mpl.rcParams) == before
