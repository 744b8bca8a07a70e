"""Displays in notebooks: well-formed, escaped, and the same numbers as the tables."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

import numpy as np
import pytest

from paretomerge.choices import Knee, Thresholds, choose
from paretomerge.reports.displays import MOST_ROWS, choice_html, front_html, scores_html
from paretomerge.reports.marks import MARKS
from paretomerge.types import Objective, Scores


def parsed(html: str) -> ElementTree.Element:
    """HTML that is also XML: every tag closed, every attribute quoted, every `<` of a name escaped."""
    return ElementTree.fromstring(html)


def texts(html: str, tag: str) -> list[str]:
    return ["".join(node.itertext()) for node in parsed(html).iter() if node.tag.split("}")[-1] == tag]


@pytest.mark.parametrize("tasks", [2, 3, 5])
@pytest.mark.parametrize("hostile", [False, True])
def test_everything_is_well_formed_with_any_names_and_holds_no_script(make_data, tasks, hostile):
    data = make_data(tasks, hostile=hostile, accuracy=tasks == 2)
    shown = [front_html(data.front), scores_html(data.scores), choice_html(choose(data.front, Knee()))]
    for html in shown:
        tags = {node.tag.split("}")[-1] for node in parsed(html).iter()}
        assert not tags & {"script", "style", "img", "a", "link", "iframe"}
        assert not [name for node in parsed(html).iter() for name in node.attrib if name.startswith(("on", "id"))]
        assert len(html) < 40_000


def test_scores_show_their_first_and_last_rows_and_count_the_others(make_data):
    scores = make_data(2).scores
    html = scores_html(scores)
    cells = texts(html, "td")
    assert len(cells) == 5 * (MOST_ROWS + 1)
    assert cells[:4] == ["predicted", "0.00", "1.00", "0.520 ± 0.012"]
    assert cells[-5:-2] == ["jointly finetuned", "1.00", "0.00"]
    assert cells.count("…") == 5
    assert "31 scored models: ● 21 predicted, ■ 5 merged, ◆ 5 jointly finetuned" in texts(html, "p")
    assert texts(html, "p")[-1] == "± 1.96 standard errors. 19 more rows: to_pandas() gives all."


def test_a_short_table_is_whole(make_data):
    html = scores_html(make_data(2).scores.take(range(MOST_ROWS)))
    assert len(texts(html, "td")) == 5 * MOST_ROWS
    assert "…" not in html


def test_a_front_draws_every_point_in_the_mark_of_its_origin(make_data):
    data = make_data(2)
    html = front_html(data.front)
    marks = [node for node in parsed(html).iter() if node.tag.endswith("circle")]
    assert len(marks) == len(data.front)
    assert {node.get("fill") for node in marks} == {MARKS["predicted"].light}
    scores = scores_html(data.scores)
    assert len([node for node in parsed(scores).iter() if node.tag.endswith("rect")]) == 10


def test_the_best_point_of_an_axis_is_at_its_better_end(make_data):
    data = make_data(2)
    marks = [node for node in parsed(front_html(data.front)).iter() if node.tag.endswith("circle")]
    across = np.array([float(node.get("cx")) for node in marks])
    down = np.array([float(node.get("cy")) for node in marks])
    assert np.argmin(across) == np.argmin(data.front.values[:, 0])
    assert np.argmax(down) == np.argmin(data.front.values[:, 1])


def test_directions_are_told_once_when_they_agree(make_data):
    assert "Weights of movie, amazon. Lower is better." in texts(scores_html(make_data(2).scores), "p")
    mixed = texts(scores_html(make_data(2, accuracy=True).scores), "p")
    wanted = "Weights of movie, amazon. Higher is better for movie accuracy, amazon accuracy; lower for the others."
    assert wanted in mixed


def test_a_choice_shows_what_it_gives_up_and_its_alternatives(make_data):
    data = make_data(2, full=True)
    choice = choose(data.front, Thresholds({"movie": 0.4}, "amazon"), data.uncertainty)
    html = choice_html(choice)
    heads = texts(html, "th")
    assert heads[:4] == ["objective", "value", "90 % interval", "gives up"]
    assert heads[4:] == [f"point {other.point.id}" for other in choice.alternatives]
    cells = texts(html, "td")
    assert cells[0] == "movie"
    assert float(cells[1]) == pytest.approx(choice.point.values["movie"], abs=5e-3)
    low, high = (float(end) for end in cells[2].split(" to "))
    assert (low, high) == pytest.approx(choice.interval["movie"], abs=5e-3)
    sentences = " ".join(texts(html, "p"))
    assert f"No other point dominates it with probability {choice.probability_nondominated:.2f}." in sentences
    assert f"It keeps what was asked for with probability {choice.probability_fulfilled:.2f}." in sentences


def test_odd_scores_are_shown_all_the_same(make_data):
    scores = make_data(2).scores
    assert "0 scored models" in scores_html(scores.take([]))
    one = scores.columns([0])
    assert "<svg" not in scores_html(one)
    same = dataclasses.replace(one, values=one.values * 0, stderr=one.stderr * 0)
    assert "0 more" not in scores_html(same)
    twice = Scores(scores.tasks, scores.weights, scores.values, scores.stderr, (Objective("x"),) * 2, scores.origin)
    assert {"x (0)", "x (1)"} <= set(texts(scores_html(twice), "th"))
