"""Pictures are drawn for any number of objectives and written in one step."""

import dataclasses
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from paretomerge.errors import DataError, MissingExtraError, StorageError
from paretomerge.reports import SINGLE_COLUMN, draw_front
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
    from paretomerge.reports.maps import MIDDLE_COLOUR
    from paretomerge.reports.marks import CHOSEN_COLOUR, MARKS

    path = draw_front(make_data(tasks), tmp_path / "front.png")
    image = pixels(path)
    assert image.shape[0] > 700
    assert image.shape[1] > 1000
    colours = {origin: mark.light for origin, mark in MARKS.items()}
    if tasks == 3:  # predictions are the ground of the maps
        colours["predicted"] = MIDDLE_COLOUR
    for colour in colours.values():
        assert has_colour(image, colour)
    assert has_colour(image, CHOSEN_COLOUR)
    assert [found.name for found in tmp_path.iterdir()] == ["front.png"]


@pytest.mark.parametrize(("tasks", "kind"), [(2, "scatter"), (3, "maps"), (3, "scatter"), (5, "parallel")])
@pytest.mark.parametrize("width", [SINGLE_COLUMN, 6.75])
def test_a_figure_has_the_width_that_was_asked_for_and_no_ink_at_its_edge(make_data, tmp_path, tasks, kind, width):
    image = pixels(draw_front(make_data(tasks, full=True), tmp_path / "front.png", kind=kind, width=width))
    assert image.shape[1] == int(width * 300)
    ink = image[..., :3].min(axis=-1) < 0.5
    edges = np.concatenate([ink[:2].ravel(), ink[-2:].ravel(), ink[:, :2].ravel(), ink[:, -2:].ravel()])
    assert not edges.any()  # nothing is cut off


def test_text_of_a_vector_figure_is_text_in_the_size_that_was_asked_for(make_data, tmp_path):
    data = make_data(2, full=True)
    text = draw_front(data, tmp_path / "front.svg", width=SINGLE_COLUMN, font_size=7).read_text("utf-8")
    labels = {"".join(node.itertext()).strip() for node in ElementTree.fromstring(text).iter() if "text" in node.tag}
    assert {
        "predicted",
        "jointly finetuned",
        "90 % of fronts",
        "chosen",
        "movie loss [nats], lower is better",
    } <= labels
    assert "7px" in text
    assert "8px" not in text
    root = ElementTree.fromstring(text)
    assert root.get("width") == f"{SINGLE_COLUMN * 72:g}pt"


def test_a_pdf_holds_truetype_and_no_date_and_is_the_same_every_time(make_data, tmp_path):
    first = draw_front(make_data(3), tmp_path / "a.pdf").read_bytes()
    assert first.startswith(b"%PDF")
    assert b"CreationDate" not in first
    assert b"/Type3" not in first
    assert draw_front(make_data(3), tmp_path / "b.pdf").read_bytes() == first


def test_a_title_is_drawn_only_on_demand(make_data, tmp_path):
    without = draw_front(make_data(2), tmp_path / "a.svg").read_text("utf-8")
    titled = draw_front(make_data(2), tmp_path / "b.svg", title="Costs $5 & more").read_text("utf-8")
    assert "Preview of" not in without
    assert "Costs $5 &amp; more" in titled


@pytest.mark.parametrize("size", [{"width": 1.0}, {"width": 41}, {"width": float("nan")}, {"font_size": 2}])
def test_sizes_that_nobody_can_read_are_refused(make_data, tmp_path, size):
    with pytest.raises(DataError, match="cannot be read: give a width of 2 to 40 inches and 4 to 40 points"):
        draw_front(make_data(2), tmp_path / "front.svg", **size)


def test_svg_is_well_formed_with_hostile_names_and_the_same_every_time(make_data, tmp_path):
    data = make_data(3, hostile=True)
    first = draw_front(data, tmp_path / "a.svg").read_bytes()
    assert draw_front(data, tmp_path / "b.svg").read_bytes() == first
    root = ElementTree.fromstring(first)
    assert sum(1 for _ in root.iter()) > 300
    assert not [node for node in root.iter() if node.tag.endswith("script")]


def test_scores_alone_are_drawn(make_data, tmp_path):
    assert draw_front(make_data(2).scores, str(tmp_path / "scores.svg")).stat().st_size > 10_000


def test_a_metric_chooses_the_objectives(make_data, tmp_path):
    data = make_data(2, accuracy=True)
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
    with pytest.raises(DataError, match=r"cannot draw 'front\.jpg': the name must end in \.png, \.svg or \.pdf"):
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
